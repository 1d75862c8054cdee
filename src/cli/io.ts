// What a command may touch of the outside world; main.ts fills it from the process, tests from buffers.

import { errnoOf, SiError } from '../core/core.ts'

export interface OutputStream {
  write(data: string | Uint8Array, onDone?: (error?: Error | null) => void): unknown
  readonly isTTY?: boolean
  readonly columns?: number
}

export interface Io {
  /** The result of the command, and nothing else. */
  readonly stdout: OutputStream
  /** Progress, notes, errors. */
  readonly stderr: OutputStream
  /** What is piped into the command; undefined when a person sits there. */
  readonly stdin: AsyncIterable<Uint8Array> | undefined
  /** Reads one line that a person typed; undefined when nobody is there to type. */
  readonly ask: ((question: string, signal: AbortSignal) => Promise<string>) | undefined
  /** Fires on Ctrl-C and SIGTERM. */
  readonly signal: AbortSignal
  /** From now on SIGHUP calls back, instead of ending the command. */
  readonly onHangUp: (listener: () => void) => void
}

/** Writes one JSON line to stdout. */
export function writeJson(io: Io, value: object): void {
  io.stdout.write(`${JSON.stringify(value)}\n`)
}

/** Writes bytes to stdout and waits until they are taken. Throws outputClosed(). */
export function writeBytes(io: Io, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    io.stdout.write(bytes, (error) => {
      if (error === undefined || error === null) resolve()
      else reject(errnoOf(error) === 'EPIPE' ? outputClosed(error) : error)
    })
  })
}

/** The reader of the result has gone, as head(1) does: nothing to complain of. */
export function outputClosed(cause: Error): SiError {
  return new SiError('ERR_SI_ABORTED', 'Standard output was closed', { cause })
}
