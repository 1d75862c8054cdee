// The memory of outgoing payload: a fixed number of buffers for all peers together. Invariant: payload
// is read only into a buffer got here, so slow readers cost a bounded amount of memory.

export interface UploadBuffers {
  readonly bufferBytes: number
  /** Waits its turn for a buffer, first come, first served. */
  acquire(): Promise<Uint8Array>
  release(buffer: Uint8Array): void
}

export function createUploadBuffers(options: {
  readonly bufferBytes: number
  readonly buffers: number
}): UploadBuffers {
  const { bufferBytes } = options
  const free: Uint8Array[] = []
  const waiting: ((buffer: Uint8Array) => void)[] = []
  let unmade = options.buffers
  return {
    bufferBytes,
    acquire() {
      const buffer = free.pop()
      if (buffer !== undefined) return Promise.resolve(buffer)
      if (unmade > 0) {
        unmade--
        return Promise.resolve(Buffer.allocUnsafeSlow(bufferBytes))
      }
      return new Promise((resolve) => waiting.push(resolve))
    },
    release(buffer) {
      const next = waiting.shift()
      if (next === undefined) free.push(buffer)
      else next(buffer)
    },
  }
}
