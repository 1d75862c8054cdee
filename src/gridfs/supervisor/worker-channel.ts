// What the supervisor of a mount and the process that serves it say to each other: lines over a socket that
// the latter inherits. The descriptors that come with it are in a fixed order, which programs of all versions
// share: one of them may take over from another.
import { Socket } from 'node:net'
import { createInterface } from 'node:readline'
import { SiError } from '../../core/core.ts'
import { detachMount } from '../../host/host.ts'

/** Descriptors of a worker, as it inherits them. */
export const WORKER_FDS = { device: 3, channel: 4, state: 5, slots: 6, guard: 7 } as const

/**
 * `prepared`: has loaded its program and read its certificates, waits for `begin`. `serving`: answers the
 * kernel, and may be replaced. `serving-once`: this kernel (before 6.9) does not ask a second process again.
 */
export type WorkerLine = 'prepared' | 'serving' | 'serving-once'

/** `begin` to serve; `leave`: unmount. */
export type SupervisorLine = 'begin' | 'leave'

export interface Supervised {
  /** Settles when it is this process's turn. Rejects with ERR_SI_ABORTED. */
  readonly begun: Promise<void>
  /** Fires when the file system is to be unmounted. */
  readonly signal: AbortSignal
  serves(isReplaceable: boolean): void
  close(): void
}

/** To be called by a worker that is ready to begin. Without its supervisor it goes on until it is unmounted. */
export function joinSupervisor(options: {
  readonly directory: string
  readonly signal: AbortSignal
  readonly onNote: (text: string) => void
}): Supervised {
  const { directory, onNote } = options
  const begun = Promise.withResolvers<void>()
  begun.promise.catch(() => {})
  const leaving = new AbortController()
  const signal = AbortSignal.any([options.signal, leaving.signal])
  signal.addEventListener('abort', () => begun.reject(signal.reason), { once: true })
  const socket = new Socket({ fd: WORKER_FDS.channel, readable: true, writable: true })
  const onEnd = () => {
    begun.reject(new SiError('ERR_SI_ABORTED', 'The supervisor of the mount has ended'))
    onNote(
      `nobody restarts the process that serves ${directory} any more: its supervisor has ended`,
    )
    if (signal.aborted) void detachMount(directory).catch(() => {})
  }
  socket.on('error', () => {}) // its end is told by close
  socket.on('close', onEnd)
  createInterface({ input: socket }).on('line', (line) => {
    if (line === 'begin') begun.resolve()
    if (line === 'leave') leaving.abort(new SiError('ERR_SI_ABORTED', 'Interrupted'))
  })
  const say = (line: WorkerLine) => void socket.write(`${line}\n`)
  say('prepared')
  return {
    ...{ begun: begun.promise, signal },
    serves: (isReplaceable) => say(isReplaceable ? 'serving' : 'serving-once'),
    close() {
      socket.off('close', onEnd)
      socket.destroy()
    },
  }
}
