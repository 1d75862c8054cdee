// The image format against the programs of others: GNU tar writes what we read, zstd, GNU tar and
// tar-stream read what we write. Needs root for owners, device nodes and capabilities.
import assert from 'node:assert/strict'
import { createReadStream } from 'node:fs'
import { mkdir, open, writeFile, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { pipeline } from 'node:stream/promises'
import { extract as extractTar } from 'tar-stream'
import { run, start } from '../../src/host/host.ts'
import {
  decodePiece,
  IMAGE_FILES,
  readManifest,
  verifyPiece,
  writeImage,
  type HeaderFacts,
  type Manifest,
  type ManifestEntry,
} from '../../src/image/image.ts'
import { compareTrees } from '../lab/compare-trees.ts'
import { writeBulkContent, writeNastyContent } from '../lab/golden-content.ts'
import { withScope, type Scope } from '../lab/scope.ts'
import { header } from '../unit/image/tar-fixture.ts'

const isRoot = process.geteuid?.() === 0
if (!isRoot && process.env['CI'] === 'true') throw new Error('these tests need root')
const skip = isRoot ? false : 'needs root'

const PIECE_BYTES = 256 * 1024

const FACTS: HeaderFacts = {
  name: 'nasty',
  version: '1',
  createdAt: '2026-01-31T12:00:00.000Z',
  source: { host: '', operatingSystem: '', architecture: '', kernel: '' },
  boot: { method: 'none' },
  layout: null,
  fstab: '',
  excludes: [],
  changedFiles: [],
}

interface Sample {
  readonly tree: string
  readonly tarPath: string
  readonly packPath: string
  readonly manifest: Manifest
  readonly entries: readonly ManifestEntry[]
}

/** A tree of hard cases, archived as a capture does it, and its image. */
async function makeSample(scope: Scope): Promise<Sample> {
  const tree = join(scope.directory, 'golden')
  const tarPath = join(scope.directory, 'golden.tar')
  const directory = join(scope.directory, 'image')
  await writeNastyContent(scope, tree)
  await writeBulkContent(join(tree, 'bulk'))
  await mkdir(directory)
  await run('tar', [
    ...['--create', '--format=posix', '--file', tarPath],
    '--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime',
    ...['--xattrs', '--xattrs-include=*', '--acls', '--selinux', '--sparse'],
    ...['--numeric-owner', '--sort=name', '--one-file-system', '-C', tree, '.'],
  ])
  await using tar = await open(tarPath)
  await writeImage(
    { read: async (into) => (await tar.read(into, 0, into.length)).bytesRead },
    {
      ...{ directory, torrentName: 'nasty-1', pieceLengthBytes: PIECE_BYTES, threads: 2 },
      header: () => Promise.resolve(FACTS),
    },
  )
  const entries: ManifestEntry[] = []
  const stream = createReadStream(join(directory, IMAGE_FILES.manifest))
  const manifest = await readManifest(stream, (entry) => entries.push(entry))
  return { tree, tarPath, packPath: join(directory, IMAGE_FILES.pack), manifest, entries }
}

async function readPiece(pack: FileHandle, index: number): Promise<Buffer> {
  const piece = Buffer.alloc(PIECE_BYTES)
  const { bytesRead } = await pack.read(piece, 0, PIECE_BYTES, index * PIECE_BYTES)
  return piece.subarray(0, bytesRead)
}

test('zstd and GNU tar restore an identical tree from the pack alone', { skip }, async () => {
  await withScope(async (scope) => {
    const { tree, tarPath, packPath } = await makeSample(scope)
    const copy = join(scope.directory, 'copy')
    const unpacked = join(scope.directory, 'unpacked.tar')
    await mkdir(copy)
    await run('zstd', ['-q', '-d', packPath, '-o', unpacked])
    await run('cmp', [tarPath, unpacked])
    const options = ['--xattrs', '--xattrs-include=*', '--acls', '--numeric-owner', '-x']
    await run('sh', [
      ...['-euc', 'pack=$1 copy=$2; shift 2; zstd -qdc "$pack" | tar "$@" -C "$copy"', 'sh'],
      ...[packPath, copy, ...options],
    ])
    assert.deepEqual(await compareTrees(tree, copy, { excludes: [] }), [])
  })
})

test('zstd -l accepts the pack and zstd -t finds no fault in it', { skip }, async () => {
  await withScope(async (scope) => {
    const { packPath, manifest } = await makeSample(scope)
    const { stdout } = await run('zstd', ['-l', packPath])
    const counts = /^\s*(\d+)\s+(\d+)\s/m.exec(stdout)
    // It counts skippable frames among the frames.
    assert.equal(Number(counts?.[1]) - Number(counts?.[2]), manifest.chunks.count)
    await run('zstd', ['-q', '-t', packPath])
  })
})

test('the manifest names what GNU tar lists', { skip }, async () => {
  await withScope(async (scope) => {
    const { tarPath, entries } = await makeSample(scope)
    const { stdout } = await run('tar', ['-t', '--quoting-style=escape', '-f', tarPath])
    const listed = stdout.split('\n').slice(0, -1)
    assert.equal(entries.length, listed.length)
    const plain = entries.map(({ path, type }) =>
      path.length === 0 ? './' : `./${path.toString('latin1')}${type === 'directory' ? '/' : ''}`,
    )
    for (const [index, name] of listed.entries()) {
      if (!name.includes('\\')) assert.equal(plain[index], name)
    }
  })
})

test(
  'tar-stream reads the same files at the same places of the decompressed pack',
  { skip },
  async () => {
    await withScope(async (scope) => {
      const { packPath, entries } = await makeSample(scope)
      const sizes: number[] = []
      const reader = extractTar()
      reader.on('entry', (header, stream, next) => {
        if (header.type === 'file') sizes.push(header.size ?? 0)
        stream.on('end', next).resume()
      })
      const zstd = start('zstd', ['-qdc', packPath], { stdio: ['ignore', 'pipe', 'pipe'] })
      assert.ok(zstd.process.stdout)
      await pipeline(zstd.process.stdout, reader)
      await zstd.exited
      const files = entries.filter((entry) => entry.type === 'file' && entry.sparse === null)
      for (const { dataBytes } of files) assert.ok(sizes.includes(dataBytes))
      assert.equal(sizes.length, entries.filter((entry) => entry.type === 'file').length)
    })
  },
)

test('every piece decodes alone, in any order, to the tar of GNU tar', { skip }, async () => {
  await withScope(async (scope) => {
    const { tarPath, packPath, manifest } = await makeSample(scope)
    const copyPath = join(scope.directory, 'copy.tar')
    await writeFile(copyPath, '')
    await using pack = await open(packPath)
    await using copy = await open(copyPath, 'r+')
    for (let index = manifest.header.pieceCount - 1; index >= 0; index--) {
      const piece = await readPiece(pack, index)
      assert.ok(verifyPiece(piece, index, manifest.pieceSha256))
      const ranges: { readonly offset: number; readonly plain: Uint8Array }[] = []
      decodePiece(piece, index, manifest.chunks, (offset, plain) =>
        ranges.push({ offset, plain: Uint8Array.from(plain) }),
      )
      for (const { offset, plain } of ranges) await copy.write(plain, 0, plain.length, offset)
    }
    await run('cmp', [tarPath, copyPath])
  })
})

test('file data lies where the manifest says', { skip }, async () => {
  await withScope(async (scope) => {
    const { tree, tarPath, entries } = await makeSample(scope)
    await using tar = await open(tarPath)
    for (const entry of entries) {
      if (entry.type !== 'file') continue
      const path = Buffer.concat([Buffer.from(`${tree}/`), entry.path])
      const extents = entry.sparse ?? [{ offset: 0, length: entry.dataBytes }]
      await using original = await open(path)
      let stored = entry.dataOffset
      for (const { offset, length } of extents) {
        const [a, b] = [Buffer.alloc(length), Buffer.alloc(length)]
        await tar.read(a, 0, length, stored)
        await original.read(b, 0, length, offset)
        assert.ok(a.equals(b), entry.path.toString())
        stored += length
      }
      assert.equal((await original.stat()).size, entry.sizeBytes)
    }
  })
})

test('writeImage() ends with the error of a disk that is full', { skip }, async () => {
  await withScope(async (scope) => {
    const directory = join(scope.directory, 'small')
    await mkdir(directory)
    await run('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', directory])
    scope.defer('mount', () => run('umount', [directory]))
    const random = await open('/dev/urandom')
    scope.defer('random', () => random.close())
    let rest = header({ name: './huge', sizeBytes: 2 ** 30 })
    const read = async (into: Uint8Array) => {
      const bytesRead = rest.copy(into)
      rest = rest.subarray(bytesRead)
      return bytesRead > 0 ? bytesRead : (await random.read(into, 0, into.length)).bytesRead
    }
    const options = { directory, torrentName: 'x', pieceLengthBytes: PIECE_BYTES, threads: 2 }
    const facts = () => Promise.resolve(FACTS)
    await assert.rejects(writeImage({ read }, { ...options, header: facts }), { code: 'ENOSPC' })
  })
})
