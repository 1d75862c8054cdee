// Tells when something in the repository changed. Invariant: a change is noticed at once where inotify
// sees it, and within the rescan interval where it does not (network file systems), and calls never
// overlap.
import { watch, type FSWatcher } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { messageOf, systemClock, type Clock } from '../core/core.ts'
import { makeFolder } from '../host/host.ts'
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

/** Called with all images; never while an earlier call is still going on. */
export type OnImages = (images: readonly ImageReference[]) => Promise<void>

/** Calls `onImages` after every change, and not before the first `rescan`. */
export async function watchRepository(
  repository: Repository,
  onImages: OnImages,
  options: { readonly log: Log; readonly clock?: Clock },
): Promise<RepositoryWatch> {
  await makeFolder(join(repository.directory, 'images'))
  return new InotifyWatch(repository, onImages, { clock: systemClock, ...options })
}

class InotifyWatch implements RepositoryWatch {
  readonly #repository: Repository
  readonly #onImages: OnImages
  readonly #log: Log
  readonly #clock: Clock
  readonly #watchers = new Map<string, FSWatcher>()
  #running: Promise<void> = Promise.resolve()
  #cancelTimer = () => {}
  #isClosed = false

  constructor(
    repository: Repository,
    onImages: OnImages,
    options: { readonly log: Log; readonly clock: Clock },
  ) {
    this.#repository = repository
    this.#onImages = onImages
    this.#log = options.log
    this.#clock = options.clock
  }

  rescan(): Promise<void> {
    this.#running = this.#running.then(() => this.#scan())
    return this.#running
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#cancelTimer()
    for (const folder of [...this.#watchers.keys()]) this.#forget(folder)
    await this.#running
  }

  async #scan(): Promise<void> {
    if (this.#isClosed) return
    const images = join(this.#repository.directory, 'images')
    try {
      this.#observe(images)
      // Also names whose first version is still a draft, before the list is made: a commit in between
      // is either in the list or announced.
      const folders = (await readdir(images)).map((name) => join(images, name))
      for (const folder of this.#watchers.keys()) {
        const isGone = folder !== images && !folders.includes(folder)
        if (isGone) this.#forget(folder) // inotify follows the removed folder, not its successor
      }
      for (const folder of folders) this.#observe(folder)
      await this.#onImages(await this.#repository.list())
    } catch (error) {
      this.#log.warn({}, `Cannot read the repository: ${messageOf(error)}`)
    }
    this.#rescanIn(RESCAN_MS)
  }

  #rescanIn(delayMs: number): void {
    this.#cancelTimer()
    if (this.#isClosed) return
    this.#cancelTimer = this.#clock.schedule(delayMs, () => void this.rescan())
  }

  #observe(folder: string): void {
    if (this.#isClosed || this.#watchers.has(folder)) return
    try {
      const watcher = watch(folder, { persistent: false }, () => this.#rescanIn(SETTLE_MS))
      watcher.on('error', () => this.#forget(folder))
      this.#watchers.set(folder, watcher)
    } catch {
      // No inotify for it (limit reached, network file system): the regular rescan sees the change.
    }
  }

  #forget(folder: string): void {
    this.#watchers.get(folder)?.close()
    this.#watchers.delete(folder)
  }
}
