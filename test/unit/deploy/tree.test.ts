// The writing half of a deployment without a swarm: pieces in random order into a directory, then rsync
// compares. Needs root.
import assert from 'node:assert/strict'
import { createReadStream, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
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
      await writeNastyContent({ id: '', directory, signal, defer() {} }, tree)
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
