// The writing half of a deployment without a swarm: pieces in random order into a directory, then rsync
// compares. Needs root.
import assert from 'node:assert/strict'
import {
  createReadStream,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { crc32 } from 'node:zlib'
import { dataChecksum } from '../../../src/deploy/data-checksum.ts'
import { EntryTableBuilder } from '../../../src/deploy/entry-table-builder.ts'
import { createTargetWriter } from '../../../src/deploy/target-writer.ts'
import {
  createDirectories,
  finishDirectories,
  finishObjects,
  finishRoot,
} from '../../../src/deploy/tree.ts'
import { run } from '../../../src/host/host.ts'
import { decodePiece, readManifest, type ManifestEntry } from '../../../src/image/image.ts'
import { makeSampleImage, type SampleImage } from '../../integration/deploy-sample.ts'
import { compareTrees } from '../../lab/compare-trees.ts'
import { writeNastyContent } from '../../lab/golden-content.ts'

const needsRoot = process.geteuid?.() === 0 ? false : 'needs root'

async function openImage(image: SampleImage) {
  const builder = new EntryTableBuilder()
  const manifest = await readManifest(
    createReadStream(join(image.directory, 'manifest.jsonl.zst')),
    (entry) => builder.add(entry),
  )
  return { manifest, table: builder.build() }
}

function shuffle(count: number): number[] {
  const order = Array.from({ length: count }, (_, index) => index)
  return order.sort((a, b) => ((a * 7919) % 104729) - ((b * 7919) % 104729))
}

async function writeAll(image: SampleImage, target: string, times: number) {
  const { manifest, table } = await openImage(image)
  const isFinished = new Uint8Array(table.count)
  const lost: string[] = []
  const root = Buffer.from(target)
  const how = { root, table, isFinished, noteLoss: (name: string) => lost.push(name) }
  const pack = await readFile(join(image.directory, 'image.tar.zst'))
  const { pieceLengthBytes, pieceCount } = manifest.header
  for (let time = 0; time < times; time++) {
    isFinished.fill(0)
    createDirectories(root, table)
    const writer = createTargetWriter(how)
    for (const piece of shuffle(pieceCount)) {
      const bytes = pack.subarray(piece * pieceLengthBytes, (piece + 1) * pieceLengthBytes)
      decodePiece(bytes, piece, manifest.chunks, writer.write)
      writer.flush()
    }
    finishObjects(how)
    finishDirectories(how)
    finishRoot(how)
  }
  return { lost, finished: isFinished.reduce((sum, flag) => sum + flag, 0) }
}

test(
  'a tree written in random order is the golden tree in everything',
  {
    skip: needsRoot,
  },
  async () => {
    const directory = await mkdtemp(join(tmpdir(), 'si-tree-'))
    try {
      const tree = join(directory, 'golden')
      const signal = AbortSignal.timeout(60_000)
      await writeNastyContent({ id: '', directory, signal, defer() {}, keepOnFailure() {} }, tree)
      const image = await makeSampleImage({ tree, directory: join(directory, 'image') })
      const target = join(directory, 'target')
      await mkdir(target)
      for (const times of [1, 2]) {
        assert.deepEqual((await writeAll(image, target, times)).lost, [])
        assert.deepEqual(await compareTrees(tree, target, { excludes: [] }), [], `${times} times`)
      }
    } finally {
      await rm(directory, { recursive: true, force: true })
    }
  },
)

function entry(path: string, changes: Partial<ManifestEntry> = {}): ManifestEntry {
  return {
    ...{ type: 'file', path: Buffer.from(path), mode: 0o644, uid: 0, gid: 0, mtimeNs: 42n },
    ...{ sizeBytes: 0, dataOffset: 0, dataBytes: 0, linkTarget: null, xattrs: [], sparse: null },
    ...{ deviceMajor: 0, deviceMinor: 0 },
    ...changes,
  }
}

test(
  'the checksum of what was written is found again on the target, and of nothing else',
  { skip: needsRoot },
  async () => {
    await inDirectory((target) => {
      const tar = Buffer.from(Array.from({ length: 4096 }, (_, index) => index % 251))
      const entries = [
        entry('empty'),
        entry('small', { sizeBytes: 300, dataOffset: 512, dataBytes: 300 }),
        entry('sparse', {
          ...{ sizeBytes: 9000, dataOffset: 1024, dataBytes: 1000 },
          sparse: [
            { offset: 512, length: 512 },
            { offset: 8000, length: 488 },
          ],
        }),
        entry('large', { sizeBytes: 1500, dataOffset: 2560, dataBytes: 1500 }),
      ]
      const builder = new EntryTableBuilder()
      for (const one of entries) builder.add(one)
      const table = builder.build()
      const isFinished = new Uint8Array(table.count)
      const root = Buffer.from(target)
      const writer = createTargetWriter({ root, table, isFinished, noteLoss: () => {} })
      const ranges = [0, 700, 1100, 2000, 3000, 4096]
      const written = ranges.slice(1).map((end, index) => {
        const start = ranges[index] ?? 0
        const middle = start + Math.floor((end - start) / 3)
        writer.write(start, tar.subarray(start, middle))
        writer.write(middle, tar.subarray(middle, end))
        return { start, end, checksum: writer.flush() }
      })
      for (const { start, end, checksum } of written) {
        assert.equal(dataChecksum(root, table, { start, end }), checksum, `${start} to ${end}`)
      }
      assert.equal(dataChecksum(root, table, { start: 0, end: 512 }), 0, 'no file data')
      const whole = { start: 0, end: 4096 }
      assert.equal(dataChecksum(root, table, whole), crc32OfFiles(tar))
      truncateSync(join(target, 'large'), 1499)
      assert.equal(dataChecksum(root, table, whole), undefined)
      assert.notEqual(dataChecksum(root, table, { start: 0, end: 2560 }), undefined)
      rmSync(join(target, 'small'))
      assert.equal(dataChecksum(root, table, { start: 0, end: 2560 }), undefined)
    })
  },
)

/** Of the data of the files above, in the order of the tar. */
function crc32OfFiles(tar: Buffer): number {
  return crc32(
    Buffer.concat([tar.subarray(512, 812), tar.subarray(1024, 2024), tar.subarray(2560, 4060)]),
  )
}

/** Makes the entries below a new directory; `data` is the tar. */
function makeTree(target: string, entries: readonly ManifestEntry[], data: Uint8Array): void {
  const builder = new EntryTableBuilder()
  for (const one of entries) builder.add(one)
  const table = builder.build()
  const isFinished = new Uint8Array(table.count)
  const how = { root: Buffer.from(target), table, isFinished, noteLoss: () => {} }
  createDirectories(how.root, table)
  const writer = createTargetWriter(how)
  writer.write(0, data)
  writer.flush()
  finishObjects(how)
  finishDirectories(how)
  finishRoot(how)
}

async function inDirectory(act: (directory: string) => Promise<void> | void): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'si-tree-'))
  try {
    await act(directory)
  } finally {
    await run('rm', ['-rf', directory]) // Node's own gives up on paths longer than PATH_MAX
  }
}

test(
  'paths longer than one system call takes are written all the same',
  {
    skip: needsRoot,
  },
  async () => {
    await inDirectory(async (directory) => {
      const names = Array.from({ length: 40 }, (_, index) => `${index}-`.padEnd(250, 'x'))
      const deepest = names.join('/')
      assert.ok(deepest.length > 8192)
      const entries = names.map((_, index) =>
        entry(names.slice(0, index + 1).join('/'), { type: 'directory', mode: 0o755 }),
      )
      const file = { sizeBytes: 4, dataOffset: 0, dataBytes: 4, mode: 0o4755 }
      const link = { type: 'hardlink', linkTarget: Buffer.from(`${deepest}/file`) } as const
      const symlink = { type: 'symlink', linkTarget: Buffer.from('file') } as const
      makeTree(
        directory,
        [
          ...entries,
          entry(`${deepest}/file`, file),
          entry(`${deepest}/link`, link),
          entry(`${deepest}/symlink`, symlink),
        ],
        Buffer.from('deep'),
      )
      const what = ['(', '-type', 'f', '-o', '-type', 'l', ')']
      const show = ['-execdir', 'stat', '-c', '%n %a %h %s', '{}', ';']
      const { stdout } = await run('find', [directory, ...what, ...show])
      const found = stdout.trim().split('\n').sort()
      assert.deepEqual(found, ['./file 4755 2 4', './link 4755 2 4', './symlink 777 1 4'])
    })
  },
)

test(
  'no file is written through a symlink that is already there',
  { skip: needsRoot },
  async () => {
    await inDirectory((directory) => {
      const outside = join(directory, 'outside')
      const target = join(directory, 'target')
      mkdirSync(target)
      writeFileSync(outside, 'safe')
      symlinkSync(outside, join(target, 'a'))
      symlinkSync(directory, join(target, 'd'))
      const file = { sizeBytes: 4, dataOffset: 0, dataBytes: 4 }
      assert.throws(() => makeTree(target, [entry('a', file)], Buffer.from('evil')), {
        code: 'ERR_SI_DEPLOY',
        message: /^Cannot write "a": ELOOP/,
      })
      const below = [entry('d', { type: 'directory' }), entry('d/outside', file)]
      assert.throws(() => makeTree(target, below, Buffer.from('evil')), {
        code: 'ERR_SI_DEPLOY',
        message: /is not as the interrupted deployment left it/,
      })
      assert.equal(readFileSync(outside, 'utf8'), 'safe')
    })
  },
)

test('a file that lost data since it was journaled is noticed', { skip: needsRoot }, async () => {
  await inDirectory((directory) => {
    const file = entry('a', { sizeBytes: 8, dataOffset: 0, dataBytes: 8 })
    assert.throws(() => makeTree(directory, [file], Buffer.from('half')), {
      code: 'ERR_SI_DEPLOY',
      message: /is not as the interrupted deployment left it/,
    })
  })
})
