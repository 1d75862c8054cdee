// OCI image layouts made by hand: blobs, manifests, index, and layers by GNU tar.
import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { start } from '../../src/host/host.ts'
import type { Scope } from '../lab/scope.ts'

export interface LayoutWriter {
  readonly directory: string
  /** Stores bytes; returns their descriptor. */
  blob(bytes: Uint8Array): Promise<{ digest: string; size: number }>
  /** Packs a tree as a layer: names as GNU tar sees them below the folder, in this order. */
  layer(
    tree: string,
    names: readonly string[],
    compression?: 'gzip' | 'zstd',
    takenOut?: readonly string[],
  ): Promise<Layer>
  /** A layer that was packed already. */
  stored(tar: Uint8Array): Promise<Layer>
  /** Stores configuration and manifest of an image; returns the manifest's descriptor. */
  image(layers: readonly Layer[], architecture?: string): Promise<object>
  /** Writes index.json. */
  index(manifests: readonly object[]): Promise<void>
}

export interface Layer {
  readonly descriptor: { readonly digest: string; readonly size: number }
  readonly diffId: string
}

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

export async function makeLayout(scope: Scope): Promise<LayoutWriter> {
  const directory = await mkdtemp(join(scope.directory, 'layout-'))
  await mkdir(join(directory, 'blobs/sha256'), { recursive: true })
  await writeFile(join(directory, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}')
  const json = (value: object) => writer.blob(Buffer.from(JSON.stringify(value)))
  const writer: LayoutWriter = {
    directory,
    async blob(bytes) {
      const hex = sha256(bytes)
      await writeFile(join(directory, 'blobs/sha256', hex), bytes)
      return { digest: `sha256:${hex}`, size: bytes.length }
    },
    async layer(tree, names, compression, takenOut = []) {
      const tar = ['--format=posix', '--no-recursion', '--xattrs', '-C', tree, '-c', '--', ...names]
      const whole = await output('tar', tar)
      const out = ['--delete', '--', ...takenOut]
      const plain = takenOut.length > 0 ? await output('tar', out, whole) : whole
      const packed = compression === undefined ? plain : await output(compression, ['-c'], plain)
      return { descriptor: await writer.blob(packed), diffId: `sha256:${sha256(plain)}` }
    },
    async stored(tar) {
      return { descriptor: await writer.blob(tar), diffId: `sha256:${sha256(tar)}` }
    },
    async image(layers, architecture = 'amd64') {
      const rootfs = { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) }
      const config = await json({ os: 'linux', architecture, rootfs })
      const manifest = { schemaVersion: 2, config, layers: layers.map((l) => l.descriptor) }
      return { ...(await json(manifest)), platform: { os: 'linux', architecture } }
    },
    index: (manifests) =>
      writeFile(join(directory, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests })),
  }
  return writer
}

async function output(program: string, args: readonly string[], input?: Uint8Array) {
  const { signal } = new AbortController()
  const child = start(program, args, { stdio: 'pipe', signal })
  child.process.stdin?.end(input)
  const parts: Buffer[] = []
  for await (const part of (child.process.stdout ?? []) as AsyncIterable<Buffer>) parts.push(part)
  await child.exited
  return Buffer.concat(parts)
}
