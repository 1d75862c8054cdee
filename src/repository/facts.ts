// What lists tell of images: header, sizes, and how much a version shares with the one before. Invariant:
// a damaged image is told of as damaged and hides no other.
import { createReadStream } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { PathSet, readManifest, readManifestHeader, type ManifestHeader } from '../image/image.ts'
import { parseMetainfo, type InfoHash } from '../torrent/torrent.ts'
import type { ImageReference } from './reference.ts'

export interface ImageFacts {
  readonly image: ImageReference
  readonly header: ManifestHeader
  readonly infoHash: InfoHash
  /**
   * Bytes of the pack but for the chunks that the version captured before it has not; null when there
   * is none.
   */
  readonly sharedBytes: number | null
}

export interface DamagedImage {
  readonly image: ImageReference
  readonly error: unknown
}

const SHA256_BYTES = 32

/** The facts of these images, in their order; all versions of a name should be among them. */
export async function describeImages(
  images: readonly ImageReference[],
): Promise<(ImageFacts | DamagedImage)[]> {
  const described = new Map<ImageReference, ImageFacts | DamagedImage>()
  for (const group of Map.groupBy(images, ({ name }) => name).values()) {
    await describeVersions(group, described)
  }
  return images.flatMap((image) => described.get(image) ?? [])
}

async function describeVersions(
  images: readonly ImageReference[],
  described: Map<ImageReference, ImageFacts | DamagedImage>,
): Promise<void> {
  const found: ImageFacts[] = []
  for (const image of images) {
    try {
      found.push(await describe(image))
    } catch (error) {
      described.set(image, { image, error })
    }
  }
  found.sort((a, b) => Date.parse(a.header.createdAt) - Date.parse(b.header.createdAt))
  let before: PathSet | undefined
  for (const facts of found) {
    try {
      const chunks = found.length === 1 ? undefined : await compareChunks(facts.image, before)
      described.set(facts.image, { ...facts, sharedBytes: chunks?.sharedBytes ?? null })
      before = chunks?.hashes
    } catch (error) {
      described.set(facts.image, { image: facts.image, error })
    }
  }
}

async function describe(image: ImageReference): Promise<ImageFacts> {
  const header = await readManifestHeader(createReadStream(image.manifestPath))
  const { infoHash } = parseMetainfo(await readFile(image.torrentPath))
  return { image, header, infoHash, sharedBytes: null }
}

/** Hashes of an image's chunks, 8 bytes each, and how many bytes of its pack `before` has. */
async function compareChunks(image: ImageReference, before: PathSet | undefined) {
  const { header, chunks } = await readManifest(createReadStream(image.manifestPath), null)
  const hashes = new PathSet()
  let newBytes = 0
  for (let i = 0; i < chunks.count; i++) {
    const sha256 = chunks.sha256.subarray(SHA256_BYTES * i, SHA256_BYTES * (i + 1))
    hashes.add(sha256)
    if (before?.has(sha256) !== true) newBytes += chunks.packedBytes[i] ?? 0
  }
  return { hashes, sharedBytes: before === undefined ? null : header.packBytes - newBytes }
}
