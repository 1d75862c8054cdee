// Everything a run makes outside of its own memory (namespaces, mounts, loop devices, programs,
// folders) belongs to a scope, which takes it away in reverse order: at the end, on a failure and
// when interrupted. A release is registered before its thing is made, so it must accept absence.
import { copyFile, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { messageOf, SiError } from '../../src/core/core.ts'
import { sweepDeadRuns } from './sweep.ts'

export interface Scope {
  /** Short and different for every run on this machine; part of the name of all that is made. */
  readonly id: string
  /** A folder for this run's files; removed at the end. */
  readonly directory: string
  /** Fires when the run is to end early. */
  readonly signal: AbortSignal
  /** Registers how to take away what is made next. `what` is named when that fails. */
  defer(what: string, release: () => Promise<unknown>): void
  /** Names a file, such as a log, that is copied out of the way of clean-up when the run fails. */
  keepOnFailure(file: string): void
}

/** How long the body may take to notice that it was interrupted before clean-up begins regardless. */
const BODY_GRACE_MS = 15_000

/** One Ctrl-C arrives twice below npm: from the terminal, and passed on by npm. */
const SAME_KEY_MS = 1000

/**
 * Runs `body` with a scope and releases it afterwards. SIGINT, SIGTERM, SIGHUP and uncaught errors
 * end the body early, as does an event loop with nothing left to wait for; a second signal ends the process at once and leaves things behind.
 * Rejects as the body does, or with an AggregateError naming what could not be taken away.
 */
export async function withScope<T>(body: (scope: Scope) => Promise<T>): Promise<T> {
  const controller = new AbortController()
  const stopListening = endOnSignals(controller)
  const releases: { what: string; release: () => Promise<unknown> }[] = []
  const id = `si${process.pid}`
  const kept: string[] = []
  try {
    await sweepDeadRuns()
    const directory = await mkdtemp(join(tmpdir(), `${id}-`))
    const scope: Scope = {
      id,
      directory,
      signal: controller.signal,
      defer: (what, release) => releases.push({ what, release }),
      keepOnFailure: (file) => kept.push(file),
    }
    scope.defer(directory, () => rm(directory, { recursive: true, force: true, maxRetries: 3 }))
    return await endEarly(body(scope), controller.signal)
  } catch (error) {
    if (!controller.signal.aborted) await keep(kept, id)
    throw error
  } finally {
    await releaseAll(releases)
    stopListening()
  }
}

/** Settles as `body` does; when interrupted, rejects once the body has ended or its grace is over. */
async function endEarly<T>(body: Promise<T>, signal: AbortSignal): Promise<T> {
  const grace = new AbortController()
  const interrupted = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => {
      const graceOver = delay(BODY_GRACE_MS, undefined, { signal: grace.signal })
      const bodyOver = body.catch(() => {}).finally(() => grace.abort())
      void Promise.race([bodyOver, graceOver.catch(() => {})]).then(() => {
        reject(signal.reason as Error)
      })
    })
  })
  try {
    return await Promise.race([body, interrupted])
  } catch (error) {
    throw signal.aborted ? signal.reason : error
  }
}

/** Says where the files are afterwards. */
async function keep(files: readonly string[], id: string): Promise<void> {
  if (files.length === 0) return
  const folder = join(tmpdir(), `swarmimager-failed-${id}`)
  await mkdir(folder, { recursive: true })
  for (const file of files) await copyFile(file, join(folder, basename(file))).catch(() => {})
  process.stderr.write(`logs of the failed run: ${folder}\n`)
}

async function releaseAll(
  releases: { what: string; release: () => Promise<unknown> }[],
): Promise<void> {
  const failures: Error[] = []
  for (let last = releases.pop(); last !== undefined; last = releases.pop()) {
    const { what, release } = last
    await release().catch((cause: unknown) => {
      failures.push(new Error(`Cannot take away ${what}: ${messageOf(cause)}`, { cause }))
    })
  }
  if (failures.length > 0) {
    throw new AggregateError(failures, failures.map((failure) => failure.message).join('; '))
  }
}

function endOnSignals(controller: AbortController): () => void {
  let firstMs = 0
  const onSignal = (name: NodeJS.Signals) => {
    if (controller.signal.aborted) {
      if (performance.now() - firstMs < SAME_KEY_MS) return
      process.stderr.write(`\n${name} again: leaving without cleaning up\n`)
      process.exit(130)
    }
    process.stderr.write(`\n${name}: cleaning up; once more leaves at once\n`)
    firstMs = performance.now()
    controller.abort(new SiError('ERR_SI_ABORTED', `Interrupted by ${name}`))
  }
  const onError = (error: unknown) => controller.abort(error)
  // The event loop is empty, yet the body has not ended: it never would.
  const onHalt = () => controller.abort(new Error('The run waits for what cannot happen any more'))
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
  for (const name of signals) process.on(name, onSignal)
  process.on('uncaughtException', onError)
  process.on('unhandledRejection', onError)
  process.on('beforeExit', onHalt)
  return () => {
    for (const name of signals) process.off(name, onSignal)
    process.off('uncaughtException', onError)
    process.off('unhandledRejection', onError)
    process.off('beforeExit', onHalt)
  }
}

/** Waits until `isTrue` holds, asking every 50 ms. Throws after `deadlineMs`, naming `what`. */
export async function waitFor(
  what: string,
  isTrue: () => Promise<boolean> | boolean,
  options: { readonly deadlineMs: number; readonly signal?: AbortSignal },
): Promise<void> {
  const endMs = performance.now() + options.deadlineMs
  while (!(await isTrue())) {
    options.signal?.throwIfAborted()
    if (performance.now() > endMs) {
      throw new Error(`${what} did not happen within ${options.deadlineMs / 1000} s`)
    }
    await delay(50)
  }
}
