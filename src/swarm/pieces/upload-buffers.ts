// The memory of outgoing payload: a fixed number of buffers for all peers together, shared with the
// threads that own the sockets. Invariant: payload is read only into a buffer got here, so slow readers cost a
// bounded amount of memory; and while others wait, nobody keeps one for long, so they cost nobody else's time.
import { type Clock } from '../../core/core.ts'

export interface UploadBuffer {
  /** Its place in the memory: begins at index x bufferBytes. */
  readonly index: number
  readonly bytes: Uint8Array
}

export interface UploadBuffers {
  readonly bufferBytes: number
  readonly memory: SharedArrayBuffer
  /** Waits its turn for a buffer, first come, first served. */
  acquire(): Promise<UploadBuffer>
  /**
   * The buffer is full and its peer may take it. When it has not after 30 s, and others wait for a buffer,
   * `onOverdue` is called, once, which is to close the connection.
   */
  lend(buffer: UploadBuffer, onOverdue: () => void): void
  release(buffer: UploadBuffer): void
}

/** A megabyte in this time is less than 300 kbit/s. As long as the longest turn. */
const OVERDUE_MS = 30_000

interface Loan {
  readonly dueMs: number
  readonly onOverdue: () => void
}

export function createUploadBuffers(options: {
  readonly bufferBytes: number
  readonly buffers: number
  readonly clock: Clock
}): UploadBuffers {
  const { bufferBytes, buffers, clock } = options
  // The kernel gives memory only to those buffers that are ever used; the last one used is used next.
  const memory = new SharedArrayBuffer(bufferBytes * buffers)
  const free = Array.from({ length: buffers }, (_, at) => viewOf(buffers - 1 - at))
  const waiting: ((buffer: UploadBuffer) => void)[] = []
  /** By index of the buffer; the oldest first. */
  const loans = new Map<number, Loan>()
  let cancelWatch: (() => void) | undefined
  function viewOf(index: number): UploadBuffer {
    return { index, bytes: uploadBufferBytes({ memory, bufferBytes }, index) }
  }
  /** Sees to it that the oldest loan ends in time, as long as anybody waits. */
  function watch(): void {
    cancelWatch?.()
    cancelWatch = undefined
    const [oldest] = loans.values()
    if (oldest === undefined || waiting.length === 0) return
    cancelWatch = clock.schedule(Math.max(0, oldest.dueMs - clock.monotonicMs()), recall)
  }
  function recall(): void {
    for (const [index, { dueMs, onOverdue }] of [...loans].slice(0, waiting.length)) {
      if (dueMs > clock.monotonicMs()) break
      loans.delete(index)
      onOverdue()
    }
    watch()
  }
  return {
    bufferBytes,
    memory,
    acquire() {
      const buffer = free.pop()
      if (buffer !== undefined) return Promise.resolve(buffer)
      return new Promise((resolve) => {
        waiting.push(resolve)
        if (cancelWatch === undefined) watch()
      })
    },
    lend(buffer, onOverdue) {
      loans.set(buffer.index, { dueMs: clock.monotonicMs() + OVERDUE_MS, onOverdue })
      if (cancelWatch === undefined) watch()
    },
    release(buffer) {
      loans.delete(buffer.index)
      const next = waiting.shift()
      if (next === undefined) free.push(buffer)
      else next(buffer)
    },
  }
}

/** The bytes of a buffer, on whatever thread. */
export function uploadBufferBytes(
  buffers: Pick<UploadBuffers, 'memory' | 'bufferBytes'>,
  index: number,
): Uint8Array {
  return Buffer.from(buffers.memory, index * buffers.bufferBytes, buffers.bufferBytes)
}
