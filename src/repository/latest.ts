// The link `latest` of an image. Invariant: it changes by rename only, so that a reader finds the old target
// or the new one; and a link that points nowhere is the same as none.
import { randomBytes } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { open, readlink, rename, rm, stat, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { readManifestHeader } from '../image/image.ts'
import { isComplete, listVersions } from './listing.ts'
import { isImageComponent, LATEST, type ImageName, type ImageVersion } from './names.ts'
import { imageReference, type ImageReference } from './reference.ts'

/**
 * Where `latest` points; the newest version when it points nowhere, because a writer died before it could
 * set the link or a person removed that version.
 */
export async function latestImage(
  images: string,
  name: ImageName,
): Promise<ImageReference | undefined> {
  const target = await readlink(join(images, name, LATEST)).catch(() => undefined)
  if (target !== undefined && isImageComponent(target)) {
    const image = imageReference(images, name, target as ImageVersion)
    if (await isComplete(image)) return image
  }
  return newestOf(await listVersions(images, name))
}

/** The version that was captured last; of two of the same moment the later in `versions`. */
export async function newestOf(
  versions: readonly ImageReference[],
): Promise<ImageReference | undefined> {
  let newest: { readonly image: ImageReference; readonly createdMs: number } | undefined
  for (const image of versions) {
    const createdMs = await createdMsOf(image)
    if (newest === undefined || createdMs >= newest.createdMs) newest = { image, createdMs }
  }
  return newest?.image
}

/** Of the capture; where the manifest is damaged, of the folder. */
async function createdMsOf(image: ImageReference): Promise<number> {
  try {
    const { createdAt } = await readManifestHeader(createReadStream(image.manifestPath))
    return Date.parse(createdAt)
  } catch {
    return (await stat(image.directory)).mtimeMs
  }
}

/** Points `latest` in the image's folder to a version, or nowhere, and makes that durable. */
export async function pointLatest(folder: string, version: ImageVersion | null): Promise<void> {
  if (version === null) {
    await rm(join(folder, LATEST), { force: true })
  } else {
    const link = join(folder, `${NEW_LATEST_PREFIX}${randomBytes(4).toString('hex')}`)
    await symlink(version, link)
    await rename(link, join(folder, LATEST))
  }
  await syncPath(folder)
}

/** Of links that wait for their rename; they stay behind when a writer dies. */
export const NEW_LATEST_PREFIX = `.${LATEST}-`

/** Flushes a file or a folder to the disk. */
export async function syncPath(path: string): Promise<void> {
  const handle = await open(path, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
