// The door of repository: images by name and version in a directory,
//
//     DIRECTORY/images/NAME/VERSION/{image.tar.zst, manifest.jsonl.zst, image.torrent}
//     DIRECTORY/images/NAME/latest -> VERSION
//
// Invariant: a VERSION folder is complete, durable and immutable from the moment it has its name.
// Readers need no lock. Layout: src/README.md, Formats of the repository.
import { stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { errnoOf, SiError } from '../core/core.ts'
import { beginDraft, type ImageDraft } from './draft.ts'
import { latestImage } from './latest.ts'
import { isComplete, listImages, listVersions } from './listing.ts'
import type { ImageName, ImageVersion } from './names.ts'
import { imageReference, type ImageReference } from './reference.ts'
import { removeImage } from './remove.ts'

export { copyImage, moveImage, type CopyOptions, type CopySigning } from './copy.ts'
export type { ImageDraft } from './draft.ts'
export { describeImages, type DamagedImage, type ImageFacts } from './facts.ts'
export { LATEST, parseImageName, parseImageSpec, parseImageVersion } from './names.ts'
export type { ImageName, ImageSpec, ImageVersion } from './names.ts'
export type { ImageReference } from './reference.ts'
export { checkImageSignature, describeImageSignature } from './signature.ts'
export { planRetention, type DatedVersion, type RetentionRules } from './retention.ts'

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
  /** Every complete version of one image, in natural order; empty when there is no such image. */
  versions(name: ImageName): Promise<ImageReference[]>
  /** Where `latest` points. */
  latest(name: ImageName): Promise<ImageReference | undefined>
  /**
   * Removes a version; `latest` moves to the newest one left. Whoever reads its files reads on. Throws
   * ERR_SI_IMAGE_LOCKED while a writer holds this name.
   */
  remove(image: ImageReference): Promise<void>
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
    versions: (name) => listVersions(images, name),
    latest: (name) => latestImage(images, name),
    remove: (image) => removeImage(images, image),
  }
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
