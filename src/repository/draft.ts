// A new version while it is written: a hidden folder beside the versions, under a lock that the kernel
// frees when the writer dies. Invariant: what commit() gives a name is already on the disk, and the
// folder and `latest` change by rename only (rename(2), flock(2)).
import { randomBytes } from 'node:crypto'
import { mkdir, readdir, rename, rm, stat, type FileHandle } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { errnoOf, SiError } from '../core/core.ts'
import { newestOf, NEW_LATEST_PREFIX, pointLatest, syncPath } from './latest.ts'
import { listVersions } from './listing.ts'
import { lockFolder } from './lock.ts'
import type { ImageName, ImageVersion } from './names.ts'
import { imageReference, type ImageReference } from './reference.ts'
import { REMOVED_PREFIX } from './remove.ts'

/** A version under construction. Exactly one of commit() and discard() takes effect. */
export interface ImageDraft {
  /** Private, empty, on the repository's file system; the writer puts the image's files here. */
  readonly directory: string
  /**
   * Makes the files durable, then visible, and points `latest` to them; with `newest` to the version
   * that was captured last, which may be another one.
   */
  commit(latest?: 'this' | 'newest'): Promise<ImageReference>
  /** Removes everything; does nothing after commit() or discard(). */
  discard(): Promise<void>
}

const DRAFT_PREFIX = '.draft-'

/** What dead writers and removers leave behind. */
const LEFTOVER_PREFIXES = [DRAFT_PREFIX, NEW_LATEST_PREFIX, REMOVED_PREFIX]

/** See Repository.begin. */
export async function beginDraft(
  images: string,
  name: ImageName,
  version: ImageVersion,
): Promise<ImageDraft> {
  const image = imageReference(images, name, version)
  const folder = dirname(image.directory)
  const lock = await lockFolder(folder, name)
  try {
    await refuseExisting(image)
    await removeDeadDrafts(folder)
    const directory = join(folder, `${DRAFT_PREFIX}${version}-${randomBytes(4).toString('hex')}`)
    await mkdir(directory)
    return createDraft(images, image, { directory, lock })
  } catch (error) {
    await lock.close()
    throw error
  }
}

function createDraft(
  images: string,
  image: ImageReference,
  { directory, lock }: { readonly directory: string; readonly lock: FileHandle },
): ImageDraft {
  let isOver = false
  return {
    directory,
    async commit(latest = 'this') {
      if (isOver) throw new SiError('ERR_SI_INTERNAL', `Draft ${directory} is already finished`)
      await publish(image, directory)
      isOver = true
      const folder = dirname(image.directory)
      const target =
        latest === 'this' ? image : await newestOf(await listVersions(images, image.name))
      await pointLatest(folder, (target ?? image).version)
      await syncPath(dirname(folder)) // the name itself may be new
      await lock.close()
      return image
    },
    async discard() {
      if (isOver) return
      isOver = true
      await rm(directory, { recursive: true, force: true })
      await lock.close()
    },
  }
}

async function refuseExisting(image: ImageReference): Promise<void> {
  try {
    await stat(image.directory)
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return
    throw error
  }
  throw new SiError(
    'ERR_SI_IMAGE_EXISTS',
    `Cannot write version "${image.version}" of image "${image.name}": it exists`,
    { hint: 'Choose another version: versions never change' },
  )
}

/** Whoever holds the lock knows that every draft in the folder has lost its writer. */
async function removeDeadDrafts(folder: string): Promise<void> {
  for (const entry of await readdir(folder)) {
    if (!LEFTOVER_PREFIXES.some((prefix) => entry.startsWith(prefix))) continue
    await rm(join(folder, entry), { recursive: true, force: true })
  }
}

async function publish(image: ImageReference, directory: string): Promise<void> {
  for (const entry of await readdir(directory)) await syncPath(join(directory, entry))
  await syncPath(directory)
  await rename(directory, image.directory)
  await syncPath(dirname(image.directory))
}
