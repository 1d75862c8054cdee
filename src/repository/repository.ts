// The door of repository: images by name and version in a directory,
//
//     DIRECTORY/images/NAME/VERSION/{image.tar.zst, manifest.jsonl.zst, image.torrent}
//     DIRECTORY/images/NAME/latest -> VERSION
//
// Invariant: a VERSION folder is complete, durable and immutable from the moment it has its name.
// Readers need no lock. Layout: src/README.md, Formats of the repository.
import { readdir, readlink, stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { errnoOf, SiError } from '../core/core.ts'
import { beginDraft, type ImageDraft } from './draft.ts'
import { isImageComponent, LATEST, type ImageName, type ImageVersion } from './names.ts'
import { imageReference, type ImageReference } from './reference.ts'

export type { ImageDraft } from './draft.ts'
export { LATEST, parseImageName, parseImageVersion } from './names.ts'
export type { ImageName, ImageVersion } from './names.ts'
export type { ImageReference } from './reference.ts'

export interface Repository {
  /** Absolute path of the directory that holds `images`. */
  readonly directory: string
  /** Every complete image, by name and then version in natural order (2 before 10). */
  list(): Promise<ImageReference[]>
  /** The given version, or the latest. Throws ERR_SI_IMAGE_NOT_FOUND. */
  open(name: ImageName, version?: ImageVersion): Promise<ImageReference>
  /**
   * Starts a new version, alone: throws ERR_SI_IMAGE_LOCKED while another writer holds this name and
   * ERR_SI_IMAGE_EXISTS when the version is there. What dead writers left behind is removed.
   */
  begin(name: ImageName, version: ImageVersion): Promise<ImageDraft>
}

/** Nothing is created before `begin`. Throws ERR_SI_USAGE when the path is empty or no directory. */
export async function openRepository(directory: string): Promise<Repository> {
  if (directory === '') throw new SiError('ERR_SI_USAGE', 'The name of the repository is empty')
  const root = resolve(directory)
  const found = await stat(root).catch((error: unknown) => {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw error
  })
  if (found !== undefined && !found.isDirectory()) {
    throw new SiError('ERR_SI_USAGE', `Cannot use ${root} as a repository: it is no directory`)
  }
  const images = join(root, 'images')
  return {
    directory: root,
    list: () => listImages(images),
    open: (name, version) => openImage(images, name, version),
    begin: (name, version) => beginDraft(images, name, version),
  }
}

const naturalOrder = new Intl.Collator('en', { numeric: true }).compare

async function listImages(images: string): Promise<ImageReference[]> {
  const found: ImageReference[] = []
  for (const name of await componentsIn(images)) {
    for (const version of await componentsIn(join(images, name))) {
      const image = imageReference(images, name as ImageName, version as ImageVersion)
      if (await isComplete(image)) found.push(image)
    }
  }
  return found
}

async function openImage(
  images: string,
  name: ImageName,
  version: ImageVersion | undefined,
): Promise<ImageReference> {
  if (version === undefined) {
    const latest = await latestImage(images, name)
    if (latest !== undefined) return latest
  } else {
    const image = imageReference(images, name, version)
    if (await isComplete(image)) return image
  }
  const what = version === undefined ? `image "${name}"` : `version "${version}" of image "${name}"`
  throw new SiError('ERR_SI_IMAGE_NOT_FOUND', `Cannot find ${what} in ${images}`, {
    hint: 'Run si-lsimage to see which images there are',
  })
}

/**
 * Where `latest` points; the youngest when it points nowhere, because a writer died before it could
 * set the link or a person removed that version.
 */
async function latestImage(images: string, name: ImageName): Promise<ImageReference | undefined> {
  const folder = join(images, name)
  const target = await readlink(join(folder, LATEST)).catch(() => undefined)
  if (target !== undefined && isImageComponent(target)) {
    const image = imageReference(images, name, target as ImageVersion)
    if (await isComplete(image)) return image
  }
  let youngest: { image: ImageReference; mtimeMs: number } | undefined
  for (const version of await componentsIn(folder)) {
    const image = imageReference(images, name, version as ImageVersion)
    if (!(await isComplete(image))) continue
    const { mtimeMs } = await stat(image.directory)
    if (youngest === undefined || mtimeMs > youngest.mtimeMs) youngest = { image, mtimeMs }
  }
  return youngest?.image
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

async function isComplete(image: ImageReference): Promise<boolean> {
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
