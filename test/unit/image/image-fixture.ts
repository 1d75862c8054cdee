// Writes small images into temporary folders, from tar bytes in memory.
import { Buffer } from 'node:buffer'
import { createReadStream } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import {
  IMAGE_FILES,
  readManifest,
  writeImage,
  type HeaderFacts,
  type Manifest,
  type ManifestEntry,
  type TarSource,
  type WriteImageOptions,
  type WrittenImage,
} from '../../../src/image/image.ts'

export const FACTS: HeaderFacts = {
  name: 'web',
  version: '1',
  createdAt: '2026-01-31T12:00:00.000Z',
  source: { host: 'h', operatingSystem: 'Debian', architecture: 'x86_64', kernel: '6.1' },
  boot: { method: 'none' },
  layout: null,
  fstab: '',
  excludes: ['./proc/*'],
  changedFiles: [],
}

/** Gives out `tar` in reads of at most `readBytes`. */
export function sourceOf(tar: Buffer, readBytes = Infinity): TarSource {
  let at = 0
  return {
    read(into) {
      const part = tar.subarray(at, at + Math.min(into.length, readBytes))
      into.set(part)
      at += part.length
      return Promise.resolve(part.length)
    },
  }
}

export async function temporaryDirectory(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'si-image-'))
  t.after(() => rm(directory, { recursive: true, force: true }))
  return directory
}

export interface TestImage extends WrittenImage {
  readonly directory: string
  readonly pack: Buffer
  readonly manifest: Manifest
  readonly entries: readonly ManifestEntry[]
}

/** Writes an image and reads it back through the manifest reader. */
export async function makeImage(
  t: TestContext,
  tar: Buffer | TarSource,
  options: Partial<WriteImageOptions> = {},
): Promise<TestImage> {
  const directory = await temporaryDirectory(t)
  const written = await writeImage(Buffer.isBuffer(tar) ? sourceOf(tar) : tar, {
    directory,
    torrentName: 'web-1',
    pieceLengthBytes: 64 * 1024,
    threads: 2,
    header: () => Promise.resolve(FACTS),
    ...options,
  })
  const entries: ManifestEntry[] = []
  const stream = createReadStream(join(directory, IMAGE_FILES.manifest))
  const manifest = await readManifest(stream, (entry) => entries.push(entry))
  const pack = await readFile(join(directory, IMAGE_FILES.pack))
  return { ...written, directory, pack, manifest, entries }
}
