// Programs that run on a host of the lab's network, with their words kept in a log file, and ended
// with the scope.
import { createWriteStream } from 'node:fs'
import { join } from 'node:path'
import { run, start, type StartedProgram } from '../../src/host/host.ts'
import { type NetworkHost, onHost } from './network.ts'
import { type Scope, waitFor } from './scope.ts'

export interface HostProgram {
  /** Of the program itself: everything before it has replaced itself by it. */
  readonly pid: number
  /** Settles with the exit status, 128 + signal number after a signal; rejects when interrupted. */
  readonly exited: Promise<number>
  /** What the program has written to its standard error so far: the end of it. */
  lastWords(): string
  /** Ends the program and waits until it has gone; `SIGTERM` when left out. */
  stop(signal?: NodeJS.Signals): Promise<void>
}

export interface HostProgramOptions {
  readonly program: string
  readonly args: readonly string[]
  /** Called with each complete line of standard output. */
  readonly onLine?: (line: string) => void
}

/** A program that ignores SIGTERM for longer than this is killed. */
const TERM_GRACE_MS = 10_000
const LAST_WORDS_BYTES = 2000

/**
 * Starts a program on a host. It is ended when the scope ends. In a session of its own: a Ctrl-C in
 * the terminal reaches only us, and we end the program once.
 */
export function startOnHost(
  scope: Scope,
  host: NetworkHost,
  options: HostProgramOptions,
): HostProgram {
  const [program, args] = onHost(host, options.program, options.args)
  const started = start('setsid', [program, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { SI_LAB: scope.id },
  })
  const pid = started.process.pid ?? 0
  scope.defer(`${options.program} on ${host.name} (process ${pid})`, () => end(started))
  let lastWords = ''
  const log = createWriteStream(join(scope.directory, `${host.name}-${pid}.log`))
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

/** Runs a program on a host to its end; its standard output. Throws as `run` does. */
export async function runOnHost(
  scope: Scope,
  host: NetworkHost,
  options: HostProgramOptions,
): Promise<string> {
  const [program, args] = onHost(host, options.program, options.args)
  return (await run(program, args, { signal: scope.signal })).stdout
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

const HTTP_DEADLINE_MS = 20_000
const FETCH = `fetch(process.argv[1]).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))`

/** Waits until a URL answers with success, asked from this host; throws when its server has ended. */
export async function waitForHttp(
  scope: Scope,
  from: NetworkHost,
  url: string,
  server: HostProgram,
): Promise<void> {
  let endedWith: number | undefined
  server.exited.then(
    (exitCode) => (endedWith = exitCode),
    () => {},
  )
  await waitFor(
    `an answer of ${url}`,
    async () => {
      if (endedWith !== undefined) {
        throw new Error(`The server of ${url} ended with ${endedWith}: ${server.lastWords()}`)
      }
      const [program, args] = onHost(from, process.execPath, ['--eval', FETCH, url])
      const options = { okExitCodes: [0, 1], signal: scope.signal }
      return (await run(program, args, options)).exitCode === 0
    },
    { deadlineMs: HTTP_DEADLINE_MS, signal: scope.signal },
  )
}
