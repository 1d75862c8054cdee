// What the header of a zstd frame says about its content. Pure. Spec: RFC 8878 §3.1.1.1.

const MAGIC = 0xfd2f_b528
/** Bytes of the dictionary id and of the content size, by the flags of the descriptor. */
const DICTIONARY_BYTES = [0, 1, 2, 4] as const
const CONTENT_SIZE_BYTES = [0, 2, 4, 8] as const

/** The content size that the frame states; undefined when it states none, or is no zstd frame. */
export function statedContentBytes(frame: Uint8Array): number | undefined {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength)
  if (frame.length < 6 || view.getUint32(0, true) !== MAGIC) return undefined
  const descriptor = view.getUint8(4)
  const isSingleSegment = (descriptor & 0x20) !== 0
  const flag = descriptor >> 6
  const sizeBytes = flag === 0 && isSingleSegment ? 1 : (CONTENT_SIZE_BYTES[flag] ?? 0)
  const offset = 5 + (isSingleSegment ? 0 : 1) + (DICTIONARY_BYTES[descriptor & 3] ?? 0)
  if (frame.length < offset + sizeBytes) return undefined
  switch (sizeBytes) {
    case 1:
      return view.getUint8(offset)
    case 2:
      return view.getUint16(offset, true) + 256
    case 4:
      return view.getUint32(offset, true)
    case 8:
      return Number(view.getBigUint64(offset, true))
    default:
      return undefined
  }
}
