// Runs programs: never through a shell, always with captured stderr, always killable.
import { spawn, type ChildProcess, type SpawnOptions } from 'node:child_process'
import { constants } from 'node:os'
import { abortedError, errnoOf, SiError, throwIfAborted } from '../core/core.ts'

export interface RunOptions {
  readonly signal?: AbortSignal | undefined
  /** Written to the program's standard input, which is empty otherwise. */
  readonly input?: string | Uint8Array
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  /** Exit statuses that are no failure; [0] when left out. */
  readonly okExitCodes?: readonly number[]
  /** What an aborted `signal` sends to the program; SIGTERM when left out. */
  readonly killWith?: NodeJS.Signals
}

export interface RunResult {
  readonly exitCode: number
  readonly stdout: string
  readonly stderr: string
}

/** The last lines a program wrote are what explains its failure; more would hide them. */
const STDERR_KEPT_BYTES = 64 * 1024

/**
 * Runs a program to its end. Throws ERR_SI_PROGRAM_MISSING when it is not installed,
 * ERR_SI_PROGRAM_FAILED on any other exit status (with its last words), ERR_SI_ABORTED.
 */
export async function run(
  program: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<RunResult> {
  const child = start(program, args, {
    stdio: 'pipe',
    signal: options.signal,
    env: options.env,
    cwd: options.cwd,
    killWith: options.killWith,
  })
  const stdout: Buffer[] = []
  child.process.stdout?.on('data', (data: Buffer) => stdout.push(data))
  child.process.stdin?.on('error', () => {}) // a program may close its input early; its status tells
  child.process.stdin?.end(options.input)
  const { exitCode, stderr } = await child.exited
  if (!(options.okExitCodes ?? [0]).includes(exitCode)) {
    throw programFailed(program, args, { exitCode, stderr })
  }
  return { exitCode, stdout: Buffer.concat(stdout).toString('utf8'), stderr }
}

export interface StartOptions {
  readonly stdio: SpawnOptions['stdio']
  readonly signal?: AbortSignal | undefined
  readonly env?: Readonly<Record<string, string>> | undefined
  readonly cwd?: string | undefined
  readonly killWith?: NodeJS.Signals | undefined
  /** In a session of its own: it outlives us, and no terminal sends it signals. */
  readonly isDetached?: boolean
}

export interface StartedProgram {
  readonly process: ChildProcess
  /** Settles when the program has ended and its output was read; rejects as `run` does. */
  readonly exited: Promise<{ readonly exitCode: number; readonly stderr: string }>
}

/**
 * Starts a program whose output is streamed. `exitCode` is 128 + signal number after a signal, as in
 * a shell. An aborted signal sends SIGTERM (or `killWith`) and rejects `exited` with ERR_SI_ABORTED.
 */
export function start(
  program: string,
  args: readonly string[],
  options: StartOptions,
): StartedProgram {
  throwIfAborted(options.signal)
  const child = spawn(program, args, {
    stdio: options.stdio,
    cwd: options.cwd,
    detached: options.isDetached ?? false,
    env: { ...process.env, LC_ALL: 'C', ...options.env },
  })
  let stderr = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr = (stderr + text).slice(-STDERR_KEPT_BYTES)
  })
  const { signal } = options
  const onAbort = () => child.kill(options.killWith ?? 'SIGTERM')
  signal?.addEventListener('abort', onAbort, { once: true })
  const exited = new Promise<{ exitCode: number; stderr: string }>((resolve, reject) => {
    child.on('error', (error) => reject(startFailed(program, error)))
    child.on('close', (code, killedBy) => {
      if (signal?.aborted) reject(abortedError(signal))
      else resolve({ exitCode: code ?? 128 + signalNumber(killedBy), stderr })
    })
  }).finally(() => signal?.removeEventListener('abort', onAbort))
  exited.catch(() => {}) // whoever awaits it sees the error; nobody awaiting must not end the process
  return { process: child, exited }
}

/** The error for a program that ended with a status nobody expected. */
export function programFailed(
  program: string,
  args: readonly string[],
  result: { readonly exitCode: number; readonly stderr: string },
): SiError {
  const words = result.stderr.trim().split('\n').slice(-3).join('; ')
  return new SiError(
    'ERR_SI_PROGRAM_FAILED',
    `${program} ended with status ${result.exitCode}${words === '' ? '' : `: ${words}`}`,
    { cause: { command: [program, ...args].join(' '), ...result } },
  )
}

/** The error for a program that did not start. */
export function startFailed(program: string, error: Error): SiError {
  if (errnoOf(error) !== 'ENOENT') {
    return new SiError('ERR_SI_PROGRAM_FAILED', `Cannot start ${program}: ${error.message}`, {
      cause: error,
    })
  }
  return new SiError('ERR_SI_PROGRAM_MISSING', `Program "${program}" is not installed`, {
    hint: `Install the package that holds ${program}`,
    cause: error,
  })
}

/** 0 for none. */
export function signalNumber(signal: NodeJS.Signals | null): number {
  return signal === null ? 0 : constants.signals[signal]
}

/** The name of a signal by its number, for messages. */
export function signalName(number: number): string {
  const found = Object.entries(constants.signals).find(([, value]) => value === number)
  return found?.[0] ?? `signal ${number}`
}
