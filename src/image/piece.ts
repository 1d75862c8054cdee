// Reading one piece of the pack alone: is it the right one, and what does it hold. Synchronous, for
// worker threads. Invariant: the result depends on the arguments only. Spec: FORMAT.md §2.
import { digestOf, messageOf, SiError } from '../core/core.ts'
import type { ChunkTable } from './chunk-table.ts'
import { FrameDecoder } from './frame-decoder.ts'

const SHA256_BYTES = 32

/** True when `piece` has the SHA-256 that the manifest states for this index. */
export function verifyPiece(
  piece: Uint8Array,
  pieceIndex: number,
  pieceSha256: Uint8Array,
): boolean {
  const start = pieceIndex * SHA256_BYTES
  const expected = pieceSha256.subarray(start, start + SHA256_BYTES)
  return expected.length === SHA256_BYTES && digestOf('sha256', piece).equals(expected)
}

/** One a thread, made when first needed: a new context for each chunk would cost 40 % of the speed. */
let decoder: FrameDecoder | undefined

/**
 * Decompresses the chunks of a verified piece, in order. `plain` is valid during the callback only.
 * Throws ERR_SI_INTEGRITY when the piece does not hold what the chunk table says.
 */
export function decodePiece(
  piece: Uint8Array,
  pieceIndex: number,
  chunks: ChunkTable,
  onChunk: (tarOffset: number, plain: Uint8Array) => void,
): void {
  const first = chunks.firstOfPiece[pieceIndex]
  const end = chunks.firstOfPiece[pieceIndex + 1]
  if (first === undefined || end === undefined) throw damaged(pieceIndex, 'there is no such piece')
  const pieceStart = chunks.packOffset[first] ?? 0
  for (let chunk = first; chunk < end; chunk++) {
    const offset = (chunks.packOffset[chunk] ?? 0) - pieceStart
    const frame = piece.subarray(offset, offset + (chunks.packedBytes[chunk] ?? 0))
    onChunk(chunks.tarOffset[chunk] ?? 0, decodeFrame(frame, chunk, pieceIndex, chunks))
  }
}

function decodeFrame(
  frame: Uint8Array,
  chunk: number,
  pieceIndex: number,
  chunks: ChunkTable,
): Uint8Array {
  decoder ??= new FrameDecoder()
  try {
    return decoder.decode(frame, chunks.lengthBytes[chunk] ?? 0)
  } catch (error) {
    throw damaged(pieceIndex, `chunk ${chunk}: ${messageOf(error)}`)
  }
}

function damaged(pieceIndex: number, reason: string): SiError {
  return new SiError('ERR_SI_INTEGRITY', `Cannot decode piece ${pieceIndex}: ${reason}`)
}
