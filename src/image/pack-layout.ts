// How frames lie in pieces: the names of an image's files, the length of a piece, and the skippable
// frame that fills what is left of one. Invariant: what is left is 0 or at least the 8 bytes of a
// skippable frame's header. Spec: FORMAT.md §1 and §2; zstd, RFC 8878 §3.1.2.
import { SiError } from '../core/core.ts'

export const IMAGE_FILES = {
  pack: 'image.tar.zst',
  manifest: 'manifest.jsonl.zst',
  signature: 'manifest.sig',
  torrent: 'image.torrent',
} as const

/** Beside an image, no part of it: what the next capture need not read again. FORMAT.md §7. */
export const CAPTURE_STATE_FILE = 'capture-state.jsonl.zst'

/** A reader refuses a longer signature before it asks anybody for it. */
export const SIGNATURE_MAX_BYTES = 64 * 2 ** 10

export const MINIMUM_PIECE_LENGTH_BYTES = 16 * 2 ** 10
export const MAXIMUM_PIECE_LENGTH_BYTES = 64 * 2 ** 20

export const SKIPPABLE_HEADER_BYTES = 8
const SKIPPABLE_MAGIC = 0x184d2a50

const GIB = 2 ** 30

/** 1 MiB for packs up to 1 GiB, 4 MiB to 64 GiB, 8 MiB to 256 GiB, then 16 MiB. */
export function choosePieceLengthBytes(estimatedPackBytes: number): number {
  if (estimatedPackBytes <= GIB) return 2 ** 20
  if (estimatedPackBytes <= 64 * GIB) return 4 * 2 ** 20
  return estimatedPackBytes <= 256 * GIB ? 8 * 2 ** 20 : 16 * 2 ** 20
}

/** True for a power of two from 16 KiB to 64 MiB. */
export function isPieceLength(bytes: number): boolean {
  return (
    bytes >= MINIMUM_PIECE_LENGTH_BYTES &&
    bytes <= MAXIMUM_PIECE_LENGTH_BYTES &&
    Number.isInteger(Math.log2(bytes))
  )
}

/** Throws ERR_SI_USAGE unless isPieceLength(). */
export function checkPieceLength(bytes: number): void {
  if (isPieceLength(bytes)) return
  throw new SiError('ERR_SI_USAGE', `A piece length of ${bytes} bytes is not possible`, {
    hint: 'Choose a power of two from 16KiB to 64MiB, such as 4MiB',
  })
}

/** The most bytes zstd makes of `plainBytes` in one frame, header included (zstd's own bound). */
export function frameBoundBytes(plainBytes: number): number {
  const smallInputBytes = 128 * 1024
  const margin = plainBytes < smallInputBytes ? (smallInputBytes - plainBytes) >> 11 : 0
  return plainBytes + (plainBytes >> 8) + margin + 64
}

/** Fills `rest` with one skippable frame of zeros; `rest` is empty or at least 8 bytes long. */
export function writeSkippableFrame(rest: Uint8Array): void {
  if (rest.length === 0) return
  const view = new DataView(rest.buffer, rest.byteOffset, rest.byteLength)
  view.setUint32(0, SKIPPABLE_MAGIC, true)
  view.setUint32(4, rest.length - SKIPPABLE_HEADER_BYTES, true)
  rest.fill(0, SKIPPABLE_HEADER_BYTES)
}
