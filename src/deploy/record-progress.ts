// Records in the journal, every few seconds, which pieces are on the disk for good. Syncing happens on
// threads of its own and takes its time; the pace follows the disk.
import { closeSync, openSync } from 'node:fs'
import { syncfsAsync } from '../host/host.ts'
import type { Journal } from './journal.ts'

export interface ProgressRecorder {
  /** Records what is written by now. */
  record(): Promise<void>
  /** Ends the regular recording, waits for one under way and lets go of the file systems. Idempotent. */
  close(): Promise<void>
}

const INTERVAL_MS = 5000
/** The disk is left alone for so many times as long as syncing it took. */
const PAUSE_FACTOR = 4

export function createProgressRecorder(options: {
  readonly journal: Journal
  readonly isWritten: Uint8Array
  /** A directory of each file system that holds data. */
  readonly fileSystems: readonly string[]
}): ProgressRecorder {
  const { journal, isWritten } = options
  const fds = options.fileSystems.map((directory) => openSync(directory, 'r'))
  let timer: NodeJS.Timeout | undefined
  let underWay: Promise<void> = Promise.resolve()
  let isClosed = false

  const recordNow = async () => {
    const pieces: number[] = []
    for (let piece = 0; piece < isWritten.length; piece++) {
      if (isWritten[piece] === 1 && !journal.pieces.has(piece)) pieces.push(piece)
    }
    for (const fd of fds) await syncfsAsync(fd)
    await journal.append(pieces)
  }
  const record = () => {
    underWay = underWay.then(recordNow)
    return underWay
  }
  const schedule = (delayMs: number) => {
    timer = setTimeout(() => {
      const startMs = performance.now()
      record().then(
        () => {
          if (isClosed) return
          schedule(Math.max(INTERVAL_MS, PAUSE_FACTOR * (performance.now() - startMs)))
        },
        () => {}, // a disk that fails is reported by the last record() of the deployment
      )
    }, delayMs)
    timer.unref()
  }
  schedule(INTERVAL_MS)
  return {
    record,
    async close() {
      if (isClosed) return
      isClosed = true
      clearTimeout(timer)
      await underWay.catch(() => {})
      for (const fd of fds) closeSync(fd)
    },
  }
}
