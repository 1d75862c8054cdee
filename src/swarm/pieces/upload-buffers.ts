// The memory of outgoing payload: a fixed number of buffers for all peers together, shared with the
// threads that own the sockets. Invariant: payload is read only into a buffer got here, so slow
// readers cost a bounded amount of memory.

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
  release(buffer: UploadBuffer): void
}

export function createUploadBuffers(options: {
  readonly bufferBytes: number
  readonly buffers: number
}): UploadBuffers {
  const { bufferBytes, buffers } = options
  // The kernel gives memory only to those buffers that are ever used; the last one used is used next.
  const memory = new SharedArrayBuffer(bufferBytes * buffers)
  const free = Array.from({ length: buffers }, (_, at) => viewOf(buffers - 1 - at))
  const waiting: ((buffer: UploadBuffer) => void)[] = []
  function viewOf(index: number): UploadBuffer {
    return { index, bytes: uploadBufferBytes({ memory, bufferBytes }, index) }
  }
  return {
    bufferBytes,
    memory,
    acquire() {
      const buffer = free.pop()
      if (buffer !== undefined) return Promise.resolve(buffer)
      return new Promise((resolve) => waiting.push(resolve))
    },
    release(buffer) {
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
