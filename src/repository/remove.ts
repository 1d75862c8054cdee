// Removal of a version. Invariant: readers see it whole or not at all: it loses its name first, and those
// that have its files open read on; `latest` never points to what is going.
import { randomBytes } from 'node:crypto'
import { readdir, readlink, rename, rm, rmdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { newestOf, pointLatest, syncPath } from './latest.ts'
import { listVersions } from './listing.ts'
import { LOCK_FILE, lockFolder } from './lock.ts'
import { LATEST } from './names.ts'
import type { ImageReference } from './reference.ts'

/** Of versions that lost their name; they stay behind when a remover dies. */
export const REMOVED_PREFIX = '.removed-'

/** See Repository.remove. */
export async function removeImage(images: string, image: ImageReference): Promise<void> {
  const folder = dirname(image.directory)
  const lock = await lockFolder(folder, image.name)
  try {
    const versions = await listVersions(images, image.name)
    const others = versions.filter(({ version }) => version !== image.version)
    if ((await readlink(join(folder, LATEST)).catch(() => undefined)) === image.version) {
      await pointLatest(folder, (await newestOf(others))?.version ?? null)
    }
    const suffix = randomBytes(4).toString('hex')
    const removed = join(folder, `${REMOVED_PREFIX}${image.version}-${suffix}`)
    await rename(image.directory, removed)
    await syncPath(folder)
    await rm(removed, { recursive: true, force: true })
    if (others.length === 0) await removeFolder(folder)
  } finally {
    await lock.close()
  }
}

/** The folder of an image without versions, unless there is something else in it. */
async function removeFolder(folder: string): Promise<void> {
  const rest = (await readdir(folder)).filter((name) => name !== LOCK_FILE)
  if (rest.length > 0) return
  await rm(join(folder, LOCK_FILE), { force: true })
  await rmdir(folder).catch(() => {}) // the next writer has come already
}
