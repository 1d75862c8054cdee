// Images made from small trees, for tests of deployment: GNU tar as the golden client's side, then the
// image writer. Needs root for owners and device nodes.
import { hash } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import { start } from '../../src/host/host.ts'
import {
  IMAGE_FILES,
  imageFilesOf,
  writeImage,
  type DiskLayout,
  type ManifestHeader,
} from '../../src/image/image.ts'
import { UNSIGNED } from '../lab/certificates.ts'
import type { DeployOptions } from '../../src/deploy/deploy.ts'
import { createSwarm, openFileStore, type PieceStore } from '../../src/swarm/swarm.ts'
import {
  Bitfield,
  encodeInfo,
  encodeMetainfo,
  parseMetainfo,
  type Metainfo,
  BLOCK_BYTES,
  padBlocks,
  pieceSizeBytes,
} from '../../src/torrent/torrent.ts'

export interface SampleImage {
  /** Holds the files of the torrent. */
  readonly directory: string
  readonly torrentPath: string
  readonly metainfo: Metainfo
  readonly header: ManifestHeader
}

export interface SampleOptions {
  readonly tree: string
  /** Made; the image is put there. */
  readonly directory: string
  readonly layout?: DiskLayout | null
  readonly pieceLengthBytes?: number
  /** As writeImage takes it. */
  readonly sign?: (manifestPath: string) => Promise<Uint8Array>
}

const TAR_OPTIONS = [
  '--create',
  '--format=posix',
  '--xattrs',
  '--xattrs-include=*',
  '--acls',
  '--sparse',
  '--numeric-owner',
]

/** Captures `tree` with GNU tar into an image in `directory`. */
export async function makeSampleImage(options: SampleOptions): Promise<SampleImage> {
  const { tree, directory, layout = null, pieceLengthBytes = 64 * 1024 } = options
  await mkdir(directory, { recursive: true })
  const args = [...TAR_OPTIONS, '--directory', tree, '--file=-', '.']
  const tar = start('tar', args, { stdio: ['ignore', 'pipe', 'pipe'] })
  // Node throws away what a program that has ended left unread, unless somebody reads already.
  const stdout = new PassThrough()
  tar.process.stdout?.pipe(stdout)
  const parts = stdout[Symbol.asyncIterator]() as AsyncIterator<Buffer>
  let rest: Buffer = Buffer.alloc(0)
  const source = {
    read: async (into: Uint8Array) => {
      while (rest.length === 0) {
        const next = await parts.next()
        if (next.done === true) return 0
        rest = next.value
      }
      const count = rest.copy(into)
      rest = rest.subarray(count)
      return count
    },
  }
  const written = await writeImage(source, {
    ...{ directory, torrentName: 'sample', pieceLengthBytes, threads: 1, sign: options.sign },
    header: () =>
      Promise.resolve({
        ...{ name: 'sample', version: '1', createdAt: '2026-01-02T03:04:05Z' },
        source: { host: 'golden', operatingSystem: 'Test', architecture: 'x86_64', kernel: '6.1' },
        boot: { method: 'none' as const },
        ...{ layout, fstab: '', excludes: [], changedFiles: [] },
      }),
  })
  await tar.exited
  const torrentPath = join(directory, 'image.torrent')
  const metainfo = parseMetainfo(await readFile(torrentPath))
  return { directory, torrentPath, metainfo, header: written.header }
}

export interface Seeder {
  /** `host:port` for DeployOptions.peers. */
  readonly address: string
  uploadedBytes(): number
  close(): Promise<void>
}

/**
 * Seeds an image on loopback as an image server would. With `stopAfterPieces` it serves the manifest
 * and so many pieces of the pack, and leaves later requests unanswered.
 */
export async function seedSample(
  image: SampleImage,
  options: { readonly stopAfterPieces?: number } = {},
): Promise<Seeder> {
  const { metainfo, directory } = image
  const files = await openFileStore(metainfo, directory)
  const { stopAfterPieces = Infinity } = options
  const gate = Promise.withResolvers<void>()
  const served = new Set<number>()
  const store: PieceStore = {
    locate: () => Promise.resolve(undefined),
    async read(piece, offset, into) {
      const isPack = piece >= imageFilesOf(metainfo).pack.firstPiece
      if (isPack && !served.has(piece) && served.size >= stopAfterPieces) await gate.promise
      if (isPack) served.add(piece)
      await files.read(piece, offset, into)
    },
    close: () => files.close(),
  }
  const swarm = await createSwarm({ host: '127.0.0.1', port: 0, role: 'server' })
  const have = Bitfield.full(metainfo.pieceCount)
  const torrent = swarm.add({ metainfo, trackers: [], store, have, pool: null })
  return {
    address: `127.0.0.1:${swarm.port}`,
    uploadedBytes: () => torrent.stats().uploadedBytes,
    async close() {
      gate.resolve()
      await swarm.close()
      await store.close()
    },
  }
}

/** What a node has to fetch of an image: all but the blocks that are nothing but padding. */
export function wantedBytes({ metainfo }: SampleImage): number {
  let bytes = metainfo.lengthBytes
  for (let piece = 0; piece < metainfo.pieceCount; piece++) {
    const sizeBytes = pieceSizeBytes(metainfo, piece)
    for (const { first, end } of padBlocks(metainfo, piece)) {
      bytes -= Math.min(end * BLOCK_BYTES, sizeBytes) - first * BLOCK_BYTES
    }
  }
  return bytes
}

/** Options of a deployment on loopback with everything else at its plainest. */
export function deployOptions(
  image: SampleImage,
  target: DeployOptions['target'],
  changes: Partial<DeployOptions> = {},
): DeployOptions {
  return {
    ...{ torrent: image.torrentPath, target, trackers: [], peers: [], trust: UNSIGNED },
    ...{ listenHost: '127.0.0.1', listenPort: 0, seedForMs: 0, dryRun: false, threads: 2 },
    finish: null, // most tests compare the tree with the golden one
    uploadBytesPerSecond: undefined,
    lanes: 1,
    downloadBytesPerSecond: undefined,
    pieceCacheBytes: 64 * 2 ** 20,
    ...changes,
  }
}

/** The same image with another manifest, as somebody who controls the torrent could offer it. */
export async function replaceManifest(
  image: SampleImage,
  edit: (lines: readonly string[]) => readonly string[],
): Promise<SampleImage> {
  const { metainfo, directory } = image
  const { pieceLengthBytes } = metainfo
  const path = join(directory, IMAGE_FILES.manifest)
  const lines = zstdDecompressSync(await readFile(path))
    .toString()
    .split('\n')
  const manifest = zstdCompressSync(edit(lines).join('\n'))
  await writeFile(path, manifest)
  const pack = await readFile(join(directory, IMAGE_FILES.pack))
  const padBytes = (pieceLengthBytes - (manifest.length % pieceLengthBytes)) % pieceLengthBytes
  const all = Buffer.concat([manifest, Buffer.alloc(padBytes), pack])
  const hashes: Buffer[] = []
  for (let offset = 0; offset < all.length; offset += pieceLengthBytes) {
    hashes.push(hash('sha1', all.subarray(offset, offset + pieceLengthBytes), 'buffer'))
  }
  const infoBytes = encodeInfo({
    ...{ name: metainfo.name, pieceLengthBytes, pieceHashes: Buffer.concat(hashes) },
    files: [
      { path: [IMAGE_FILES.manifest], lengthBytes: manifest.length },
      { path: ['.pad', String(padBytes)], lengthBytes: padBytes, isPad: true },
      { path: [IMAGE_FILES.pack], lengthBytes: pack.length },
    ],
  })
  const torrent = encodeMetainfo({ infoBytes })
  await writeFile(image.torrentPath, torrent)
  return { ...image, metainfo: parseMetainfo(torrent) }
}
