// Repositories for tests: small real images of trees that the test describes.
import { mkdir, mkdtemp, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { capture, type CaptureReport } from '../../src/capture/capture.ts'
import { silentProgress } from '../../src/core/core.ts'
import {
  openRepository,
  parseImageName,
  parseImageVersion,
  type Repository,
} from '../../src/repository/repository.ts'
import type { Scope } from '../lab/scope.ts'

/** A directory name ends in `/`; a value that begins with `->` is the target of a symlink. */
export type TreeContent = Readonly<Record<string, string | Uint8Array>>

export async function makeTree(scope: Scope, content: TreeContent): Promise<string> {
  const tree = await mkdtemp(join(scope.directory, 'tree-'))
  for (const [name, value] of Object.entries(content)) {
    const path = join(tree, name)
    await mkdir(name.endsWith('/') ? path : dirname(path), { recursive: true })
    if (name.endsWith('/')) continue
    if (typeof value === 'string' && value.startsWith('->')) await symlink(value.slice(2), path)
    else await writeFile(path, value)
  }
  return tree
}

export async function makeRepository(scope: Scope): Promise<Repository> {
  return openRepository(await mkdtemp(join(scope.directory, 'repository-')))
}

/** Captures a tree; pieces are small, so that small images have several. */
export async function captureTree(
  repository: Repository,
  directory: string,
  image: { readonly name: string; readonly version: string; readonly pieceLengthBytes?: number },
): Promise<CaptureReport> {
  return capture(
    {
      source: { type: 'root', directory },
      ...{ repository, name: parseImageName(image.name) },
      version: parseImageVersion(image.version),
      ...{ excludes: [], useDefaultExcludes: false, zstdLevel: 1, threads: 1 },
      pieceLengthBytes: image.pieceLengthBytes ?? 64 * 1024,
    },
    silentProgress,
    new AbortController().signal,
  )
}
