// All pieces of a pack, checked by threads that share one counter: no thread waits for another, and none
// has to be told what to do. Invariant: resolves only after every thread has ended.
import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import { SiError, throwIfAborted } from '../core/core.ts'
import type { ChunkTable } from './chunk-table.ts'

/** Numbers in the shared state. */
export const NEXT_PIECE = 0
export const STOPPED = 1

export interface VerifyWorkerData {
  readonly packPath: string
  readonly packBytes: number
  readonly pieceLengthBytes: number
  readonly chunks: ChunkTable
  readonly pieceSha256: Uint8Array
  /** SHA-1 of each piece of the pack. */
  readonly packSha1: Uint8Array
  readonly state: SharedArrayBuffer
}

export interface PieceFault {
  /** Of the pack, from 0. */
  readonly piece: number
  /** In words; empty when the piece is as promised and what was promised is wrong. */
  readonly reasons: readonly string[]
  /** Chunks that do not decode to what the manifest states. */
  readonly chunks: readonly number[]
}

export interface VerifyPiecesOptions {
  readonly threads: number
  readonly onProgress?: ((packBytes: number) => void) | undefined
  readonly signal?: AbortSignal | undefined
}

/** Compiled or not, the entry has the same extension as this file. */
const ENTRY = new URL(`./verify-worker${extname(import.meta.url)}`, import.meta.url)

const PROGRESS_MS = 200

/** The faults by piece. Throws ERR_SI_ABORTED, ERR_SI_INTERNAL when a thread fails. */
export async function verifyPieces(
  data: Omit<VerifyWorkerData, 'state'>,
  { threads, onProgress, signal }: VerifyPiecesOptions,
): Promise<PieceFault[]> {
  throwIfAborted(signal)
  const buffer = new SharedArrayBuffer(8)
  const state = new Int32Array(buffer)
  const stop = () => Atomics.store(state, STOPPED, 1)
  signal?.addEventListener('abort', stop, { once: true })
  const { packBytes, pieceLengthBytes } = data
  const report = () =>
    onProgress?.(Math.min(packBytes, Atomics.load(state, NEXT_PIECE) * pieceLengthBytes))
  const timer = setInterval(report, PROGRESS_MS)
  try {
    const results = await Promise.allSettled(
      Array.from({ length: threads }, () => runWorker({ ...data, state: buffer }, stop)),
    )
    throwIfAborted(signal)
    const faults = results.flatMap((result) => {
      if (result.status === 'fulfilled') return result.value
      throw result.reason
    })
    onProgress?.(packBytes)
    return faults.sort((a, b) => a.piece - b.piece)
  } finally {
    clearInterval(timer)
    signal?.removeEventListener('abort', stop)
  }
}

function runWorker(data: VerifyWorkerData, stopOthers: () => void): Promise<PieceFault[]> {
  const { promise, resolve, reject } = Promise.withResolvers<PieceFault[]>()
  const faults: PieceFault[] = []
  const worker = new Worker(ENTRY, { workerData: data, name: 'verify' })
  worker.on('message', (fault: PieceFault) => faults.push(fault))
  worker.on('error', (error) => {
    stopOthers()
    const message = `A verifying thread failed: ${error.message}`
    reject(new SiError('ERR_SI_INTERNAL', message, { cause: error }))
  })
  worker.on('exit', () => resolve(faults))
  return promise
}
