// The images that are seeded now, kept equal to what the repository holds. Invariant: one image that
// cannot be seeded (damaged, unreadable) never stops the others.
import { readFile, stat } from 'node:fs/promises'
import { isSiError, messageOf } from '../core/core.ts'
import type { ImageReference } from '../repository/repository.ts'
import { openFileStore, type Swarm, type Torrent } from '../swarm/swarm.ts'
import { Bitfield, parseMetainfo, type InfoHash, type Metainfo } from '../torrent/torrent.ts'
import type { Log } from './log.ts'

export interface SeededImage {
  readonly image: ImageReference
  readonly metainfo: Metainfo
  readonly torrent: Torrent
}

export interface SeededImagesOptions {
  readonly swarm: Swarm
  /** Announced to besides the trackers that each torrent names. */
  readonly trackers: readonly string[]
  readonly log: Log
  readonly onRemoved?: (infoHash: InfoHash) => void
}

interface Entry extends SeededImage, Seeding {
  readonly identity: string
}

/** Which images are on offer. Call update() only when the call before has settled. */
export class SeededImages {
  readonly #options: SeededImagesOptions
  readonly #entries = new Map<string, Entry>()
  /** Identities of what could not be seeded: said once, tried again when the torrent changes. */
  readonly #refused = new Map<string, string>()

  constructor(options: SeededImagesOptions) {
    this.#options = options
  }

  list(): readonly SeededImage[] {
    return [...this.#entries.values()]
  }

  get(infoHash: InfoHash): SeededImage | undefined {
    return this.list().find(({ metainfo }) => metainfo.infoHash === infoHash)
  }

  /** Starts what is new in `images`, ends what is no longer in it. */
  async update(images: readonly ImageReference[]): Promise<void> {
    const wanted = new Map<string, { image: ImageReference; identity: string }>()
    for (const image of images) {
      const identity = await identityOf(image)
      if (identity !== undefined) wanted.set(image.directory, { image, identity })
    }
    for (const entry of [...this.#entries.values()]) {
      const isSame = wanted.get(entry.image.directory)?.identity === entry.identity
      if (!isSame) await this.#remove(entry)
    }
    for (const [directory, { image, identity }] of wanted) {
      const isDone = this.#entries.has(directory) || this.#refused.get(directory) === identity
      if (!isDone) await this.#tryAdd(image, identity)
    }
  }

  async close(): Promise<void> {
    const entries = [...this.#entries.values()]
    this.#entries.clear()
    for (const entry of entries) await entry.close()
  }

  async #tryAdd(image: ImageReference, identity: string): Promise<void> {
    const { log } = this.#options
    const { name, version } = image
    try {
      const { infoHash } = await this.#add(image, identity)
      log.info({ image: name, version, infoHash }, 'seeding')
    } catch (error) {
      this.#refused.set(image.directory, identity)
      log.warn({ image: name, version }, `not seeded: ${explain(error)}`)
    }
  }

  async #add(image: ImageReference, identity: string): Promise<Metainfo> {
    const { swarm, trackers } = this.#options
    const metainfo = parseMetainfo(await readFile(image.torrentPath))
    const seeding = await seed(swarm, metainfo, { directory: image.directory, trackers })
    this.#entries.set(image.directory, { image, identity, ...seeding })
    return metainfo
  }

  async #remove(entry: Entry): Promise<void> {
    const { log, onRemoved } = this.#options
    this.#entries.delete(entry.image.directory)
    await entry.close()
    onRemoved?.(entry.metainfo.infoHash)
    log.info({ image: entry.image.name, version: entry.image.version }, 'no longer seeding')
  }
}

/** One torrent on offer. */
export interface Seeding {
  readonly metainfo: Metainfo
  readonly torrent: Torrent
  /** Leaves the swarm and closes the files. */
  close(): Promise<void>
}

/**
 * Seeds complete files below `directory`; sizes are checked, contents are not: whoever downloads a
 * wrong piece refuses it. Throws ERR_SI_INTEGRITY when a file is missing or has a wrong size.
 */
export async function seed(
  swarm: Swarm,
  metainfo: Metainfo,
  options: { readonly directory: string; readonly trackers: readonly string[] },
): Promise<Seeding> {
  const store = await openFileStore(metainfo, options.directory)
  const known = new Set(metainfo.trackers.flat())
  const added = options.trackers.filter((tracker) => !known.has(tracker))
  try {
    const torrent = swarm.add({
      metainfo,
      trackers: [...metainfo.trackers, ...added.map((tracker) => [tracker])],
      store,
      have: Bitfield.full(metainfo.pieceCount),
      pool: null,
    })
    const close = async () => {
      await torrent.close()
      await store.close()
    }
    return { metainfo, torrent, close }
  } catch (error) {
    await store.close()
    throw error
  }
}

/** Changes when a version was removed and made anew; undefined when it just vanished. */
async function identityOf(image: ImageReference): Promise<string | undefined> {
  try {
    const { ino, mtimeMs, size } = await stat(image.torrentPath)
    return `${ino} ${mtimeMs} ${size}`
  } catch {
    return undefined
  }
}

function explain(error: unknown): string {
  return isSiError(error) && error.hint !== undefined
    ? `${error.message} (${error.hint})`
    : messageOf(error)
}
