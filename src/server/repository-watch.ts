// Tells when something in the repository changed. Invariant: a change is noticed at once where inotify
// sees it, and within the rescan interval where it does not (network file systems), and calls never
// overlap.
import { watch, type FSWatcher } from 'node:fs'
import { mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { messageOf, systemClock, type Clock } from '../core/core.ts'
import type { ImageReference, Repository } from '../repository/repository.ts'
import type { Log } from './log.ts'

/** For repositories on file systems whose changes inotify does not see. */
const RESCAN_MS = 10_000

/** A commit makes several changes within a moment; one scan answers them all. */
const SETTLE_MS = 50

export interface RepositoryWatch {
  /** Scans now and resolves when `onImages` has dealt with the result. */
  rescan(): Promise<void>
  close(): Promise<void>
}

/** Calls `onImages` with all images after every change. Nothing is called before `rescan`. */
export async function watchRepository(
  repository: Repository,
  onImages: (images: readonly ImageReference[]) => Promise<void>,
  options: { readonly log: Log; readonly clock?: Clock },
): Promise<RepositoryWatch> {
  const clock = options.clock ?? systemClock
  const images = join(repository.directory, 'images')
  await mkdir(images, { recursive: true })
  const watchers = new Map<string, FSWatcher>()
  let isClosed = false
  let running: Promise<void> = Promise.resolve()
  let cancelTimer = () => {}

  const scheduleIn = (delayMs: number) => {
    cancelTimer()
    if (!isClosed) cancelTimer = clock.schedule(delayMs, () => void rescan())
  }
  const observe = (folder: string) => {
    if (isClosed || watchers.has(folder)) return
    try {
      const watcher = watch(folder, { persistent: false }, () => scheduleIn(SETTLE_MS))
      watcher.on('error', () => forget(folder))
      watchers.set(folder, watcher)
    } catch {
      // No inotify for it (limit reached, network file system): the regular rescan sees the change.
    }
  }
  const forget = (folder: string) => {
    watchers.get(folder)?.close()
    watchers.delete(folder)
  }
  const scan = async () => {
    if (isClosed) return
    try {
      observe(images)
      // Also names whose first version is still a draft, before the list is made: a commit in between
      // is either in the list or announced.
      for (const name of await readdir(images)) observe(join(images, name))
      const found = await repository.list()
      await onImages(found)
    } catch (error) {
      options.log.warn({}, `Cannot read the repository: ${messageOf(error)}`)
    }
    scheduleIn(RESCAN_MS)
  }
  const rescan = () => (running = running.then(scan))
  return {
    rescan,
    async close() {
      isClosed = true
      cancelTimer()
      for (const folder of [...watchers.keys()]) forget(folder)
      await running
    },
  }
}
