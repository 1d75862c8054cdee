// /dev/fuse among the descriptors that this thread waits for anyway: a request is read here when it is there,
// without a thread that waits for it, and without two wake-ups for each. Node opens no devices so, but the
// class of its pipes takes any descriptor. Invariant: it is used only when it looks as it is known to look.
import { connect, Socket } from 'node:net'
import { duplicate } from '../../host/host.ts'

interface PipeHandle {
  /** Sets the descriptor to non-blocking, and owns it from then on. */
  open(fd: number): number
}

export interface PolledDeviceOptions {
  /** What the next request is read into: as large as the largest one. */
  readonly buffer: () => Buffer
  /** So many bytes are in the buffer that was given last. */
  readonly onRequest: (lengthBytes: number) => void
  /** Nothing comes any more, with the error that said so. */
  readonly onEnd: (error: Error | undefined) => void
}

/** Reads from now on; undefined where Node has not what this needs. The descriptor stays its owner's. */
export function pollDevice(fd: number, options: PolledDeviceOptions): Socket | undefined {
  const handle = newPipeHandle()
  if (handle === undefined) return undefined
  if (handle.open(duplicate(fd)) < 0) return undefined
  let ended: Error | undefined
  const onread = {
    buffer: options.buffer,
    callback(lengthBytes: number) {
      options.onRequest(lengthBytes)
      return true
    },
  }
  const socket = new Socket({ handle, onread, readable: true, writable: false } as object)
  socket.on('error', (error) => (ended = error))
  socket.on('close', () => options.onEnd(ended))
  return socket
}

/** Of a socket that is connected to nothing and thrown away. */
function newPipeHandle(): PipeHandle | undefined {
  const probe = connect({ path: '/dev/null' })
  probe.on('error', () => {}) // /dev/null listens to nobody
  const { _handle: handle } = probe as unknown as { readonly _handle?: object | null }
  const Pipe = handle?.constructor as (new (type: number) => PipeHandle) | undefined
  probe.destroy()
  if (Pipe?.name !== 'Pipe' || typeof Pipe.prototype.open !== 'function') return undefined
  return new Pipe(0)
}
