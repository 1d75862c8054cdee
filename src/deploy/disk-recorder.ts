// Sees to it that what was written reaches the disk, and records in the journal what has. Syncing happens
// on threads of its own and takes its time; the pace follows the disk.
// Invariant: the descriptors are open from before the first byte to after the last, because the kernel
// reports a failed write only to those who were there; a failure once seen is given to every later call.
import { closeSync, openSync } from 'node:fs'
import { messageOf, SiError } from '../core/core.ts'
import { syncfsAsync } from '../host/host.ts'
import { FAILING_DISK_HINT, targetError } from './target-error.ts'
import type { Journal } from './journal.ts'
import type { WrittenPieces } from './worker-protocol.ts'

export interface DiskRecorder {
  /** Resolves when all that was written by now is on the disk. Throws ERR_SI_DEPLOY. */
  sync(): Promise<void>
  /** Syncs, then records the pieces that were written before. Also done regularly, see start(). */
  record(): Promise<void>
  /** Begins to record every few seconds; stop() ends that. */
  start(): void
  stop(): void
  /** Stops, waits for what is under way and lets go of the file systems. Idempotent. */
  close(): Promise<void>
}

const INTERVAL_MS = 5000
/** The disk is left alone for so many times as long as syncing it took. */
const PAUSE_FACTOR = 4

export function openDiskRecorder(options: {
  readonly journal: Journal
  readonly written: WrittenPieces
  /** A directory of each file system that holds data. */
  readonly fileSystems: readonly string[]
}): DiskRecorder {
  const { journal, written, fileSystems } = options
  const fds = fileSystems.map((directory) => openSync(directory, 'r'))
  let timer: NodeJS.Timeout | undefined
  let underWay: Promise<void> = Promise.resolve()
  let isClosed = false

  const inTurn = (act: () => Promise<void>) => {
    underWay = underWay.then(act)
    underWay.catch(() => {}) // every later call is given the same failure
    return underWay
  }
  const syncNow = async () => {
    try {
      for (const fd of fds) await syncfsAsync(fd)
    } catch (error) {
      const message = `Cannot write to ${fileSystems.join(', ')}: ${messageOf(error)}`
      throw new SiError('ERR_SI_DEPLOY', message, { hint: FAILING_DISK_HINT, cause: error })
    }
  }
  const recordNow = async () => {
    const pieces = new Map<number, number>()
    for (let piece = 0; piece < written.isWritten.length; piece++) {
      if (Atomics.load(written.isWritten, piece) === 0 || journal.pieces.has(piece)) continue
      pieces.set(piece, written.checksums[piece] ?? 0)
    }
    await syncNow()
    await journal.append(pieces).catch((error: unknown) => {
      throw targetError('the journal', error)
    })
  }
  const stop = () => {
    clearTimeout(timer)
    timer = undefined
  }
  const schedule = (delayMs: number) => {
    timer = setTimeout(() => {
      const startMs = performance.now()
      inTurn(recordNow).then(
        () => {
          if (timer === undefined) return
          schedule(Math.max(INTERVAL_MS, PAUSE_FACTOR * (performance.now() - startMs)))
        },
        () => {},
      )
    }, delayMs)
    timer.unref()
  }
  return {
    sync: () => inTurn(syncNow),
    record: () => inTurn(recordNow),
    start: () => schedule(INTERVAL_MS),
    stop,
    async close() {
      if (isClosed) return
      isClosed = true
      stop()
      await underWay.catch(() => {})
      for (const fd of fds) closeSync(fd)
    },
  }
}
