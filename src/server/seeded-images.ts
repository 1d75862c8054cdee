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

export interface SeededImages {
  list(): readonly SeededImage[]
  get(infoHash: InfoHash): SeededImage | undefined
  /** Starts what is new in `images`, ends what is no longer in it. Not to be called concurrently. */
  update(images: readonly ImageReference[]): Promise<void>
  close(): Promise<void>
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

export function createSeededImages(options: SeededImagesOptions): SeededImages {
  const { log } = options
  const entries = new Map<string, Entry>()
  const refused = new Map<string, string>()

  const add = async (image: ImageReference, identity: string) => {
    const metainfo = parseMetainfo(await readFile(image.torrentPath))
    const twin = find(metainfo.infoHash)
    if (twin !== undefined) throw new Error(`it is the same as ${twin.image.directory}`)
    const seeding = await seed(options.swarm, metainfo, {
      directory: image.directory,
      trackers: options.trackers,
    })
    entries.set(image.directory, { image, identity, ...seeding })
    log.info({ image: image.name, version: image.version, infoHash: metainfo.infoHash }, 'seeding')
  }
  const remove = async (entry: Entry) => {
    entries.delete(entry.image.directory)
    await entry.close()
    options.onRemoved?.(entry.metainfo.infoHash)
    log.info({ image: entry.image.name, version: entry.image.version }, 'no longer seeding')
  }
  const find = (infoHash: InfoHash) =>
    [...entries.values()].find(({ metainfo }) => metainfo.infoHash === infoHash)

  return {
    list: () => [...entries.values()],
    get: find,
    async update(images) {
      const wanted = new Map<string, { image: ImageReference; identity: string }>()
      for (const image of images) {
        const identity = await identityOf(image)
        if (identity !== undefined) wanted.set(image.directory, { image, identity })
      }
      for (const entry of [...entries.values()]) {
        if (wanted.get(entry.image.directory)?.identity !== entry.identity) await remove(entry)
      }
      for (const [directory, { image, identity }] of wanted) {
        if (entries.has(directory) || refused.get(directory) === identity) continue
        try {
          await add(image, identity)
        } catch (error) {
          refused.set(directory, identity) // said once, tried again when its torrent changes
          log.warn({ image: image.name, version: image.version }, `not seeded: ${explain(error)}`)
        }
      }
    },
    async close() {
      for (const entry of [...entries.values()]) {
        entries.delete(entry.image.directory)
        await entry.close()
      }
    },
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
