// A new version while it is written: a hidden folder beside the versions, under a lock that the kernel
// frees when the writer dies. Invariant: what commit() gives a name is already on the disk, and the
// folder and `latest` change by rename only (rename(2), flock(2)).
import { randomBytes } from 'node:crypto'
import { mkdir, open, readdir, rename, rm, stat, symlink, type FileHandle } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { errnoOf, SiError } from '../core/core.ts'
import { flock } from '../host/host.ts'
import { LATEST, type ImageName, type ImageVersion } from './names.ts'
import { imageReference, type ImageReference } from './reference.ts'

/** A version under construction. Exactly one of commit() and discard() takes effect. */
export interface ImageDraft {
  /** Private, empty, on the repository's file system; the writer puts the image's files here. */
  readonly directory: string
  /** Makes the files durable, then visible, and points `latest` to them. */
  commit(): Promise<ImageReference>
  /** Removes everything; does nothing after commit() or discard(). */
  discard(): Promise<void>
}

const DRAFT_PREFIX = '.draft-'
const LOCK_FILE = '.lock'

/** See Repository.begin. */
export async function beginDraft(
  images: string,
  name: ImageName,
  version: ImageVersion,
): Promise<ImageDraft> {
  const image = imageReference(images, name, version)
  const folder = dirname(image.directory)
  await mkdir(folder, { recursive: true })
  const lock = await takeLock(join(folder, LOCK_FILE), name)
  try {
    await refuseExisting(image)
    await removeDeadDrafts(folder)
    const directory = join(folder, `${DRAFT_PREFIX}${version}-${randomBytes(4).toString('hex')}`)
    await mkdir(directory)
    return createDraft(image, directory, lock)
  } catch (error) {
    await lock.close()
    throw error
  }
}

function createDraft(image: ImageReference, directory: string, lock: FileHandle): ImageDraft {
  let isOver = false
  return {
    directory,
    async commit() {
      if (isOver) throw new SiError('ERR_SI_INTERNAL', `Draft ${directory} is already finished`)
      await publish(image, directory)
      isOver = true
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

async function takeLock(path: string, name: ImageName): Promise<FileHandle> {
  const lock = await open(path, 'a+', 0o644)
  try {
    if (!flock(lock.fd, 'exclusive')) throw await lockedError(lock, name)
    await lock.truncate(0)
    await lock.write(`${process.pid}\n`)
    return lock
  } catch (error) {
    await lock.close()
    throw error
  }
}

async function lockedError(lock: FileHandle, name: ImageName): Promise<SiError> {
  const { buffer, bytesRead } = await lock.read(Buffer.alloc(32), 0, 32, 0)
  const pid = /^(\d+)\n/.exec(buffer.toString('latin1', 0, bytesRead))?.[1]
  const holder = pid === undefined ? 'another process' : `process ${pid}`
  return new SiError('ERR_SI_IMAGE_LOCKED', `Cannot write image "${name}": ${holder} writes it`, {
    hint: 'Wait until it has finished, or end it',
  })
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
    if (!entry.startsWith(DRAFT_PREFIX) && !entry.startsWith(`.${LATEST}-`)) continue
    await rm(join(folder, entry), { recursive: true, force: true })
  }
}

async function publish(image: ImageReference, directory: string): Promise<void> {
  for (const entry of await readdir(directory)) await syncPath(join(directory, entry))
  await syncPath(directory)
  await rename(directory, image.directory)
  const folder = dirname(image.directory)
  await syncPath(folder)
  const link = join(folder, `.${LATEST}-${randomBytes(4).toString('hex')}`)
  await symlink(image.version, link)
  await rename(link, join(folder, LATEST))
  await syncPath(folder)
  await syncPath(dirname(folder)) // the name itself may be new
}

async function syncPath(path: string): Promise<void> {
  const handle = await open(path, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
