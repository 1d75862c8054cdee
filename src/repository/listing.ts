// What a repository's folders hold. Invariant: only complete versions are seen; drafts, locks and what is
// being removed have hidden names, which are no image names.
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { errnoOf } from '../core/core.ts'
import { isImageComponent, type ImageName, type ImageVersion } from './names.ts'
import { imageReference, type ImageReference } from './reference.ts'

const naturalOrder = new Intl.Collator('en', { numeric: true }).compare

/** Every complete image below the folder `images`, by name and then version (2 before 10). */
export async function listImages(images: string): Promise<ImageReference[]> {
  const found: ImageReference[] = []
  for (const name of await componentsIn(images)) {
    found.push(...(await listVersions(images, name as ImageName)))
  }
  return found
}

/** Every complete version of one image, in natural order. */
export async function listVersions(images: string, name: ImageName): Promise<ImageReference[]> {
  const found: ImageReference[] = []
  for (const version of await componentsIn(join(images, name))) {
    const image = imageReference(images, name, version as ImageVersion)
    if (await isComplete(image)) found.push(image)
  }
  return found
}

export async function isComplete(image: ImageReference): Promise<boolean> {
  const parts = [image.packPath, image.manifestPath, image.torrentPath]
  const found = await Promise.all(
    parts.map((path) =>
      stat(path).then(
        (stats) => stats.isFile(),
        () => false,
      ),
    ),
  )
  return found.every(Boolean)
}

async function componentsIn(folder: string): Promise<string[]> {
  try {
    const entries = await readdir(folder, { withFileTypes: true })
    return entries
      .filter((entry) => entry.isDirectory() && isImageComponent(entry.name))
      .map((entry) => entry.name)
      .sort(naturalOrder)
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return []
    throw error
  }
}
