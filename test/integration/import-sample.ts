// What the tests of imports have in common.
import assert from 'node:assert/strict'
import { createReadStream } from 'node:fs'
import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pack as packTar, type Header } from 'tar-stream'
import { importImage } from '../../src/capture/capture.ts'
import { silentProgress } from '../../src/core/core.ts'
import { readManifest, type ManifestEntry } from '../../src/image/image.ts'
import {
  parseImageName,
  parseImageVersion,
  type Repository,
} from '../../src/repository/repository.ts'
import { type Scope } from '../lab/scope.ts'

export const skip = process.getuid?.() === 0 || process.env['CI'] === 'true' ? false : 'needs root'
export const { signal } = new AbortController()

export async function importInto(
  repository: Repository,
  source: string | AsyncIterable<Uint8Array>,
  options: { readonly version?: string; readonly platform?: string } = {},
) {
  const { image } = await importImage(
    {
      ...{ source, repository, platform: options.platform, name: parseImageName('web') },
      version: parseImageVersion(options.version ?? 'imported'),
      ...{ excludes: [], useDefaultExcludes: false, zstdLevel: 1, threads: 1 },
      pieceLengthBytes: 64 * 1024,
    },
    silentProgress,
    signal,
  )
  return image
}

export async function entriesOf({ manifestPath }: { readonly manifestPath: string }) {
  const entries = new Map<string, ManifestEntry>()
  await readManifest(createReadStream(manifestPath), (e) => entries.set(e.path.toString(), e))
  return entries
}

export const namesOf = async (image: { readonly manifestPath: string }) =>
  [...(await entriesOf(image)).keys()].filter((name) => name !== '').sort()

export type Member = Pick<Header, 'name' | 'type'> & { readonly linkname?: string }

/** A tar as tar-stream writes it. */
export async function makeTar(scope: Scope, entries: readonly Member[]): Promise<string> {
  const tar = packTar()
  for (const entry of entries) tar.entry(entry, entry.type === 'file' ? 'x' : '')
  tar.finalize()
  const path = join(scope.directory, 'foreign.tar')
  await writeFile(path, tar as AsyncIterable<Buffer>)
  return path
}

export const assertNothingLeft = async (repository: Repository) =>
  assert.deepEqual(
    (await readdir(repository.directory)).filter((name) => name !== 'images'),
    [],
  )
