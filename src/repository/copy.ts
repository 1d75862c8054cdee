// Copies and moves of one version. Invariant: the new version appears whole or not at all, and a moved one
// loses its old name only after the new one is on the disk. Under its own name, in another repository, an
// image stays the same bytes: info hash and signature hold. Under another name it is another image, which is
// signed anew only after the signature of the original was found good.
import { link, readFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { errnoOf, exists, isSiError } from '../core/core.ts'
import { CAPTURE_STATE_FILE, IMAGE_FILES, imageFilesOf, renameImage } from '../image/image.ts'
import type { Signer, Trust } from '../pki/pki.ts'
import { parseMetainfo } from '../torrent/torrent.ts'
import { copyFile, type CopyFileOptions } from './copy-file.ts'
import type { ImageName, ImageVersion } from './names.ts'
import type { ImageReference } from './reference.ts'
import type { Repository } from './repository.ts'
import { checkImageSignature } from './signature.ts'

/** Who signs copies under another name, and whose signatures he relies on. */
export interface CopySigning {
  readonly signer: Signer
  readonly trust: Trust
}

export interface CopyOptions {
  /** Where the copy goes; may be the repository that the image is in. */
  readonly repository: Repository
  readonly name: ImageName
  readonly version: ImageVersion
  /** Gives the same pack a second name (link(2)) where both lie on one file system. */
  readonly isLinked: boolean
  /** Left out: copies under another name are not signed. */
  readonly signing?: CopySigning | undefined
  readonly onBytes?: ((bytes: number) => void) | undefined
  readonly signal: AbortSignal
}

/**
 * `latest` of the new name points to its version that was captured last. Throws ERR_SI_IMAGE_EXISTS,
 * ERR_SI_IMAGE_LOCKED, ERR_SI_ABORTED, ERR_SI_UNTRUSTED when the copy would be signed and the original's
 * signature is bad, and ERR_SI_…_FORMAT when the image is damaged.
 */
export async function copyImage(
  image: ImageReference,
  options: CopyOptions,
): Promise<ImageReference> {
  const { repository, name, version, signal } = options
  const draft = await repository.begin(name, version)
  try {
    const { directory } = draft
    const packPath = join(directory, IMAGE_FILES.pack)
    if (!options.isLinked || !(await tryLink(image.packPath, packPath))) {
      await copyFile(image.packPath, packPath, options)
    }
    if (image.name === name && image.version === version) {
      await copyDescription(image, directory, options)
    } else {
      const manifest = await readFile(image.manifestPath)
      const torrent = await readFile(image.torrentPath)
      const sign = await signerFor(image, manifest, options.signing)
      const naming = { name, version }
      await renameImage({ manifest, torrent }, { directory, naming, sign, signal })
    }
    await copyIfThere(join(image.directory, CAPTURE_STATE_FILE), directory, options)
    signal.throwIfAborted()
    return await draft.commit('newest')
  } finally {
    await draft.discard() // does nothing after commit
  }
}

/**
 * As copyImage, then removes the original. A move that was interrupted between the two goes on where it
 * was when it is asked for again.
 */
export async function moveImage(
  image: ImageReference,
  from: Repository,
  options: Omit<CopyOptions, 'isLinked'>,
): Promise<ImageReference> {
  const moved = await copyImage(image, { ...options, isLinked: true }).catch(
    async (error: unknown) => {
      if (!isSiError(error, 'ERR_SI_IMAGE_EXISTS')) throw error
      const existing = await options.repository.open(options.name, options.version)
      if (existing.directory === image.directory) throw error
      if (await hasSamePack(image, existing)) return existing
      throw error
    },
  )
  await from.remove(image)
  return moved
}

/** Undefined for what nobody vouched for: a copy is not better than its original. */
async function signerFor(
  image: ImageReference,
  manifest: Uint8Array,
  signing: CopySigning | undefined,
): Promise<Signer['sign'] | undefined> {
  if (signing === undefined || !(await exists(image.signaturePath))) return undefined
  await checkImageSignature(image, { ...signing.trust, allowUnsigned: false }, manifest)
  return signing.signer.sign
}

/** False where hard links cannot be. */
async function tryLink(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to)
    return true
  } catch (error) {
    if (['EXDEV', 'EPERM', 'EMLINK', 'EOPNOTSUPP'].includes(errnoOf(error) ?? '')) return false
    throw error
  }
}

async function copyDescription(
  image: ImageReference,
  directory: string,
  options: CopyFileOptions,
): Promise<void> {
  const { manifest, torrent } = IMAGE_FILES
  for (const file of [manifest, torrent]) {
    await copyFile(join(image.directory, file), join(directory, file), options)
  }
  await copyIfThere(image.signaturePath, directory, options)
}

async function copyIfThere(
  path: string,
  directory: string,
  options: CopyFileOptions,
): Promise<void> {
  try {
    await copyFile(path, join(directory, basename(path)), options)
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error
  }
}

async function hasSamePack(a: ImageReference, b: ImageReference): Promise<boolean> {
  const [hashesOfA, hashesOfB] = await Promise.all([packHashes(a), packHashes(b)])
  return hashesOfA.equals(hashesOfB)
}

const SHA1_BYTES = 20

async function packHashes({ torrentPath }: ImageReference): Promise<Buffer> {
  const metainfo = parseMetainfo(await readFile(torrentPath))
  const { pack } = imageFilesOf(metainfo)
  return Buffer.from(metainfo.pieceHashes.subarray(SHA1_BYTES * pack.firstPiece))
}
