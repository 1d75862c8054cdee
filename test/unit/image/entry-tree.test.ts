import assert from 'node:assert/strict'
import { Buffer } from 'node:buffer'
import { test } from 'node:test'
import fc from 'fast-check'
import { isSiError } from '../../../src/core/core.ts'
import { checkPath, EntryTree } from '../../../src/image/entry-tree.ts'
import type { EntryType, ManifestEntry } from '../../../src/image/manifest-entry.ts'
import { PathSet } from '../../../src/image/path-set.ts'

const isUnsafe = (error: unknown) => isSiError(error, 'ERR_SI_UNSAFE_PATH')

function entry(type: EntryType, path: string, linkTarget: string | null = null): ManifestEntry {
  return {
    ...{ type, mode: 0o755, uid: 0, gid: 0, mtimeNs: 0n, sizeBytes: 0, dataOffset: 0 },
    ...{ dataBytes: 0, deviceMajor: 0, deviceMinor: 0, xattrs: [], sparse: null },
    path: Buffer.from(path, 'latin1'),
    linkTarget: linkTarget === null ? null : Buffer.from(linkTarget),
  }
}

function treeOf(...entries: ManifestEntry[]): EntryTree {
  const tree = new EntryTree()
  for (const each of entries) tree.add(each)
  return tree
}

for (const path of [
  '/etc',
  'a//b',
  'a/',
  '.',
  '..',
  'a/../b',
  'a/.',
  'a\0b',
  `${'x'.repeat(256)}`,
]) {
  test(`checkPath() refuses ${JSON.stringify(path.slice(0, 20))}`, () => {
    assert.throws(() => checkPath(Buffer.from(path)), isUnsafe)
  })
}

test('checkPath() refuses more than 65535 bytes', () => {
  assert.throws(() => checkPath(Buffer.from('d/'.repeat(32768))), isUnsafe)
  checkPath(Buffer.from(`${'d/'.repeat(32767)}x`))
})

test('checkPath() takes unusual names that are safe', () => {
  for (const path of ['', '...', '..a', '.a/..b', 'a\nb', '\xff', 'x'.repeat(255)]) {
    checkPath(Buffer.from(path, 'latin1'))
  }
})

test('EntryTree refuses an entry whose parent is missing', () => {
  assert.throws(() => treeOf(entry('file', 'a/b')), isUnsafe)
})

test('EntryTree refuses to go through a symlink that the image made', () => {
  assert.throws(() => treeOf(entry('symlink', 'a', '/etc'), entry('file', 'a/passwd')), isUnsafe)
})

test('EntryTree refuses a parent that is a file', () => {
  assert.throws(() => treeOf(entry('file', 'a'), entry('file', 'a/b')), isUnsafe)
})

test('EntryTree refuses a path twice in every combination but directory and directory', () => {
  const types: EntryType[] = ['file', 'symlink', 'fifo', 'directory']
  for (const first of types) {
    for (const second of types) {
      if (first === 'directory' && second === 'directory') continue
      const both = [entry(first, 'a', '/'), entry(second, 'a', '/')]
      assert.throws(() => treeOf(...both), isUnsafe, `${first}, ${second}`)
    }
  }
})

test('EntryTree finds the first occurrence of a repeated directory', () => {
  const tree = treeOf(entry('directory', ''), entry('directory', 'srv'), entry('file', 'f'))
  assert.deepEqual(tree.add(entry('directory', 'srv')), { index: 1, isRepeated: true })
  assert.deepEqual(tree.add(entry('directory', '')), { index: 0, isRepeated: true })
  assert.deepEqual(tree.add(entry('file', 'srv/x')), { index: 3, isRepeated: false })
})

test('EntryTree refuses a root that is no directory', () => {
  assert.throws(() => treeOf(entry('symlink', '', '/etc')), isUnsafe)
})

test('EntryTree takes hard links to earlier files only', () => {
  treeOf(entry('symlink', 's', 'x'), entry('hardlink', 'h', 's'), entry('hardlink', 'i', 'h'))
  const refused = [
    [entry('hardlink', 'h', 'later'), entry('file', 'later')],
    [entry('directory', 'd'), entry('hardlink', 'h', 'd')],
    [entry('file', 'f'), entry('hardlink', 'h', '/f')],
    [entry('file', 'f'), entry('hardlink', 'h', '../f')],
    [entry('symlink', 's', '/etc'), entry('hardlink', 'h', 's/passwd')],
    [entry('directory', ''), entry('hardlink', 'h', '')],
  ]
  for (const entries of refused) assert.throws(() => treeOf(...entries), isUnsafe)
})

test('EntryTree shows a hostile path without its control characters', () => {
  assert.throws(() => treeOf(entry('file', 'a/\x1b[2J')), /a\/\\x1b\[2J/)
})

test('PathSet knows exactly what was added', () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.string(), { minLength: 1, maxLength: 3000 }), (paths) => {
      const set = new PathSet()
      const half = Math.ceil(paths.length / 2)
      for (const path of paths.slice(0, half)) assert.equal(set.add(Buffer.from(path)), true)
      for (const path of paths.slice(0, half)) assert.equal(set.add(Buffer.from(path)), false)
      for (const path of paths.slice(half)) assert.equal(set.has(Buffer.from(path)), false)
    }),
    { numRuns: 20 },
  )
})
