// Entry of a verifying thread: takes the next piece that nobody has taken until there is none left, or until
// it is told to stop. Invariant: what a piece lacks is told once, in one message; a piece without a message
// is good. All of it synchronous.
import { closeSync, openSync, readSync } from 'node:fs'
import { parentPort, workerData } from 'node:worker_threads'
import { hash } from 'node:crypto'
import { digestOf, messageOf } from '../core/core.ts'
import { FrameDecoder } from './frame-decoder.ts'
import { chunkHash } from './pack-reader.ts'
import { verifyPiece } from './piece.ts'
import { NEXT_PIECE, STOPPED, type PieceFault, type VerifyWorkerData } from './verify-pieces.ts'

const SHA1_BYTES = 20

const data = workerData as VerifyWorkerData
const { chunks, pieceSha256, packSha1, pieceLengthBytes, packBytes } = data
const state = new Int32Array(data.state)
const pieceCount = Math.ceil(packBytes / pieceLengthBytes)
const buffer = Buffer.allocUnsafeSlow(Math.min(pieceLengthBytes, packBytes))
const decoder = new FrameDecoder()

function readPiece(fd: number, index: number): Buffer {
  const start = index * pieceLengthBytes
  const piece = buffer.subarray(0, Math.min(pieceLengthBytes, packBytes - start))
  let done = 0
  while (done < piece.length) {
    const bytesRead = readSync(fd, piece, done, piece.length - done, start + done)
    if (bytesRead === 0) throw new RangeError('the file ends before it')
    done += bytesRead
  }
  return piece
}

/** Undefined when all is well. */
function check(fd: number, index: number): PieceFault | undefined {
  let piece: Buffer
  try {
    piece = readPiece(fd, index)
  } catch (error) {
    return {
      piece: index,
      reasons: [`cannot be read: ${messageOf(error)}`],
      chunks: chunksOf(index),
    }
  }
  const reasons: string[] = []
  if (!verifyPiece(piece, index, pieceSha256)) reasons.push('SHA-256 is not that of the manifest')
  const sha1 = packSha1.subarray(SHA1_BYTES * index, SHA1_BYTES * (index + 1))
  if (!digestOf('sha1', piece).equals(sha1)) reasons.push('SHA-1 is not that of the torrent')
  const bad = chunksOf(index).filter((chunk) => !isGoodChunk(piece, index, chunk))
  return reasons.length > 0 || bad.length > 0 ? { piece: index, reasons, chunks: bad } : undefined
}

function chunksOf(piece: number): number[] {
  const first = chunks.firstOfPiece[piece] ?? 0
  const end = chunks.firstOfPiece[piece + 1] ?? first
  return Array.from({ length: end - first }, (_, index) => first + index)
}

function isGoodChunk(piece: Buffer, index: number, chunk: number): boolean {
  const start = (chunks.packOffset[chunk] ?? 0) - index * pieceLengthBytes
  const frame = piece.subarray(start, start + (chunks.packedBytes[chunk] ?? 0))
  try {
    const plain = decoder.decode(frame, chunks.lengthBytes[chunk] ?? 0)
    return hash('sha256', plain, 'buffer').equals(chunkHash(chunks, chunk))
  } catch {
    return false // zstd refuses it
  }
}

const fd = openSync(data.packPath, 'r')
try {
  for (;;) {
    const index = Atomics.add(state, NEXT_PIECE, 1)
    if (index >= pieceCount || Atomics.load(state, STOPPED) !== 0) break
    const fault = check(fd, index)
    if (fault !== undefined) parentPort?.postMessage(fault)
  }
} finally {
  closeSync(fd)
}
