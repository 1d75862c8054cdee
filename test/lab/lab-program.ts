// Programs that run for the lab, with their words kept in a log file, and ended with the scope.
import { createWriteStream } from 'node:fs'
import { join } from 'node:path'
import { start, type StartedProgram } from '../../src/host/host.ts'
import { type Scope } from './scope.ts'

export interface LabProgram {
  /** Of the program itself: everything before it has replaced itself by it. */
  readonly pid: number
  /** Settles with the exit status, 128 + signal number after a signal; rejects when interrupted. */
  readonly exited: Promise<number>
  /** What the program has written to its standard error so far: the end of it. */
  lastWords(): string
  /** Ends the program and waits until it has gone; `SIGTERM` when left out. */
  stop(signal?: NodeJS.Signals): Promise<void>
}

export interface LabProgramOptions {
  readonly program: string
  readonly args: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** Called with each complete line of standard output. */
  readonly onLine?: (line: string) => void
}

/** A program that ignores SIGTERM for longer than this is killed. */
const TERM_GRACE_MS = 10_000
const LAST_WORDS_BYTES = 2000

/**
 * Starts a program that is ended when the scope ends; `name` begins the name of its log file. In a
 * session of its own: a Ctrl-C in the terminal reaches only us, and we end the program once.
 */
export function startInLab(scope: Scope, name: string, options: LabProgramOptions): LabProgram {
  const started = start('setsid', [options.program, ...options.args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...options.env, SI_LAB: scope.id },
  })
  const { pid = -1 } = started.process
  scope.defer(`${options.program} of ${name} (process ${pid})`, () => end(started))
  let lastWords = ''
  const log = createWriteStream(join(scope.directory, `${name}-${pid}.log`))
  log.on('error', () => {}) // the folder goes away with the scope
  started.process.stderr?.on('data', (data: Buffer) => {
    lastWords = (lastWords + data.toString('utf8')).slice(-LAST_WORDS_BYTES)
    log.write(data)
  })
  started.process.stdout?.setEncoding('utf8').on('data', splitLines(options.onLine ?? (() => {})))
  const ended = started.exited.then(({ exitCode }) => exitCode).finally(() => log.end())
  const exited = Promise.race([ended, rejectWhenAborted(scope.signal)])
  exited.catch(() => {}) // may be awaited later, or never
  return { pid, exited, lastWords: () => lastWords.trim(), stop: (signal) => end(started, signal) }
}

async function end(started: StartedProgram, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
  const timer = setTimeout(() => started.process.kill('SIGKILL'), TERM_GRACE_MS)
  started.process.kill(signal)
  await started.exited.catch(() => {})
  clearTimeout(timer)
}

function splitLines(onLine: (line: string) => void): (text: string) => void {
  let rest = ''
  return (text) => {
    const lines = (rest + text).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) onLine(line)
  }
}

function rejectWhenAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true })
  })
}
