// What a command may touch of the outside world; main.ts fills it from the process, tests from buffers.

export interface OutputStream {
  write(text: string): unknown
  readonly isTTY?: boolean
  readonly columns?: number
}

export interface Io {
  /** The result of the command, and nothing else. */
  readonly stdout: OutputStream
  /** Progress, notes, errors. */
  readonly stderr: OutputStream
  /** Reads one line that a person typed; undefined when nobody is there to type. */
  readonly ask: ((question: string, signal: AbortSignal) => Promise<string>) | undefined
  /** Fires on Ctrl-C and SIGTERM. */
  readonly signal: AbortSignal
}

/** Writes one JSON line to stdout. */
export function writeJson(io: Io, value: object): void {
  io.stdout.write(`${JSON.stringify(value)}\n`)
}
