// What long-running commands say: lines for people on stderr, or JSON lines (pino's) with --json on
// stdout, where programs read.
import pino from 'pino'
import type { Log } from '../server/server.ts'
import type { Io } from './io.ts'

export function createCommandLog(
  io: Io,
  options: { readonly command: string; readonly json: boolean },
): Log {
  if (options.json) {
    return pino(
      { name: options.command, base: {}, timestamp: pino.stdTimeFunctions.isoTime },
      io.stdout,
    )
  }
  const print = (level: string) => (fields: object, message: string) => {
    const details = Object.entries(fields).map(([key, value]) => ` ${key}=${String(value)}`)
    io.stderr.write(`${options.command}: ${level}${message}${details.join('')}\n`)
  }
  return { info: print(''), warn: print('warning: ') }
}

/** Resolves when the person, or the system, ends the command. */
export function untilInterrupted(signal: AbortSignal): Promise<void> {
  // A listener on a signal keeps no process alive, but the servers that wait here do.
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
