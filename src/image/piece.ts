// Reading one piece of the pack alone: is it the right one, and what does it hold. Pure and
// synchronous, for worker threads. Spec: FORMAT.md §2.
import { hash } from 'node:crypto'
import { zstdDecompressSync } from 'node:zlib'
import { messageOf, SiError } from '../core/core.ts'
import type { ChunkTable } from './chunk-table.ts'

const SHA256_BYTES = 32

/** True when `piece` has the SHA-256 that the manifest states for this index. */
export function verifyPiece(
  piece: Uint8Array,
  pieceIndex: number,
  pieceSha256: Uint8Array,
): boolean {
  const start = pieceIndex * SHA256_BYTES
  const expected = pieceSha256.subarray(start, start + SHA256_BYTES)
  return expected.length === SHA256_BYTES && hash('sha256', piece, 'buffer').equals(expected)
}

/**
 * Decompresses the chunks of a verified piece, in order. `plain` is the callback's to keep. Throws
 * ERR_SI_INTEGRITY when the piece does not hold what the chunk table says.
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
  const lengthBytes = chunks.lengthBytes[chunk] ?? 0
  let plain: Uint8Array
  try {
    // One output buffer that is never quite full is twice as fast as growing by the default one.
    plain = zstdDecompressSync(frame, { chunkSize: lengthBytes + 1, maxOutputLength: lengthBytes })
  } catch (error) {
    throw damaged(pieceIndex, `chunk ${chunk}: ${messageOf(error)}`)
  }
  if (plain.length === lengthBytes) return plain
  throw damaged(pieceIndex, `chunk ${chunk} has ${plain.length} bytes instead of ${lengthBytes}`)
}

function damaged(pieceIndex: number, reason: string): SiError {
  return new SiError('ERR_SI_INTEGRITY', `Cannot decode piece ${pieceIndex}: ${reason}`)
}
