// Runs a program that is not ours to trust, such as an administrator's script, in a session of its own: without standard
// input or terminal, in exactly the environment that it is given. Invariant: when runGroup() has settled, nothing of its
// process group is left, however it ended; what has left the group, as daemons do, stays.
import { spawn, type ChildProcess } from 'node:child_process'
import { setTimeout as delay } from 'node:timers/promises'
import { abortedError, errnoOf, throwIfAborted } from '../core/core.ts'
import { signalNumber, startFailed } from './program.ts'

export interface GroupOptions {
  readonly env: Readonly<Record<string, string>>
  readonly cwd: string
  /** Infinity: none. */
  readonly timeLimitMs: number
  /** Standard output and standard error as they come. */
  readonly onOutput: (data: Buffer) => void
  readonly signal: AbortSignal
}

export interface GroupEnd {
  /** 128 + signal number after a signal, as in a shell. */
  readonly exitCode: number
  readonly isTimedOut: boolean
  /** Whether something of the group was still running, and was ended. */
  readonly hadLeftovers: boolean
}

/** Between SIGTERM and SIGKILL. */
const GRACE_MS = 5000
/** How long output is awaited that a process outside of the group may still hold open. */
const DRAIN_MS = 1000
/** Timers hold 31 bits. */
const MAX_TIMER_MS = 2 ** 31 - 1

/** Throws ERR_SI_PROGRAM_MISSING, ERR_SI_PROGRAM_FAILED when it cannot be started, ERR_SI_ABORTED. */
export async function runGroup(
  program: string,
  args: readonly string[],
  options: GroupOptions,
): Promise<GroupEnd> {
  const { env, cwd, timeLimitMs, onOutput, signal } = options
  throwIfAborted(signal)
  const stdio = ['ignore', 'pipe', 'pipe'] as const
  const child = spawn(program, args, { stdio: [...stdio], detached: true, cwd, env })
  child.stdout.on('data', onOutput)
  child.stderr.on('data', onOutput)
  const closed = new Promise<void>((resolve) => child.once('close', () => resolve()))
  let isTimedOut = false
  let kill: NodeJS.Timeout | undefined
  const stop = () => {
    signalGroup(child, 'SIGTERM')
    kill ??= setTimeout(() => signalGroup(child, 'SIGKILL'), GRACE_MS)
  }
  const onTimeLimit = () => {
    isTimedOut = true
    stop()
  }
  const limit =
    timeLimitMs <= MAX_TIMER_MS ? setTimeout(onTimeLimit, Math.max(1, timeLimitMs)) : undefined
  signal.addEventListener('abort', stop, { once: true })
  try {
    const exitCode = await exitOf(child, program)
    const hadLeftovers = signalGroup(child, 'SIGKILL')
    await drain(child, closed)
    throwIfAborted(signal)
    return { exitCode, isTimedOut, hadLeftovers }
  } catch (error) {
    throw signal.aborted ? abortedError(signal) : error
  } finally {
    clearTimeout(limit)
    clearTimeout(kill)
    signal.removeEventListener('abort', stop)
  }
}

function exitOf(child: ChildProcess, program: string): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once('error', (error) => reject(startFailed(program, error)))
    child.once('exit', (code, killedBy) => resolve(code ?? 128 + signalNumber(killedBy)))
  })
}

/** False when nothing of the group is left. */
function signalGroup({ pid }: ChildProcess, signal: NodeJS.Signals): boolean {
  if (pid === undefined) return false
  try {
    return process.kill(-pid, signal)
  } catch (error) {
    if (errnoOf(error) === 'ESRCH') return false
    throw error
  }
}

async function drain(child: ChildProcess, closed: Promise<void>): Promise<void> {
  const over = new AbortController()
  const patience = delay(DRAIN_MS, undefined, { signal: over.signal }).catch(() => {})
  await Promise.race([closed, patience])
  over.abort()
  child.stdout?.destroy()
  child.stderr?.destroy()
}
