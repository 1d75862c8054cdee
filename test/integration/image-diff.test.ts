// The difference of two images against what was done to the tree, and against a comparison of the trees.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import {
  chmod,
  chown,
  link,
  lutimes,
  mkdir,
  open,
  readFile,
  rm,
  symlink,
  truncate,
  utimes,
  writeFile,
} from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { lsetxattr, run } from '../../src/host/host.ts'
import { diffImages, type Difference } from '../../src/image/image.ts'
import { withScope } from '../lab/scope.ts'
import { captureTree, makeRepository, makeTree } from './repository-sample.ts'

const skip = process.getuid?.() === 0 || process.env['CI'] === 'true' ? false : 'needs root'
const PIECE_BYTES = 16 * 1024

const noise = (bytes: number) => randomBytes(bytes)
const show = ({ kind, path, changes }: Difference) => [kind, path.toString(), ...changes].join(' ')

describe('differences of images', { skip }, () => {
  test('diffImages() names everything that was done to a tree, and nothing else', async () => {
    await withScope(async (scope) => {
      const repository = await makeRepository(scope)
      const tree = await makeTree(scope, {
        ...{ gone: 'x', mode: 'x', owner: 'x', mtime: 'x', xattr: 'x', content: noise(60_000) },
        ...{ size: 'x', kind: 'x', same: noise(60_000), 'folder/same': noise(1000), link: '->old' },
      })
      await link(join(tree, 'same'), join(tree, 'hard'))
      const a = await captureTree(repository, tree, {
        name: 'web',
        version: '1',
        pieceLengthBytes: PIECE_BYTES,
      })
      const at = (name: string) => join(tree, name)
      const time = new Date('2026-01-31T12:00:00Z')
      await rm(at('gone'))
      await writeFile(at('new'), 'x')
      await chmod(at('mode'), 0o4755)
      await chown(at('owner'), 1, 2)
      await utimes(at('mtime'), time, time)
      lsetxattr(at('xattr'), 'user.note', Buffer.from('x'))
      await using content = await open(at('content'), 'r+')
      const { mtime } = await content.stat()
      await content.write(Buffer.from('changed'), 0, 7, 40_000)
      await utimes(at('content'), mtime, mtime)
      await writeFile(at('size'), 'xy')
      await rm(at('kind'))
      await mkdir(at('kind'))
      await rm(at('link'))
      await symlink('new', at('link'))
      await lutimes(at('link'), time, time)
      const b = await captureTree(repository, tree, {
        name: 'web',
        version: '2',
        pieceLengthBytes: PIECE_BYTES,
      })
      const diff = await diffImages(a.image, b.image)
      assert.deepEqual(diff.differences.map(show), [
        'changed  mtime',
        'changed content content mtime',
        'removed gone',
        'changed kind type mode',
        'changed link mtime link',
        'changed mode mode',
        'changed mtime mtime',
        'added new',
        'changed owner owner',
        'changed size size content mtime',
        'changed xattr xattrs',
      ])
      assert.ok(diff.fetchBytes > 0 && diff.fetchBytes < diff.packBytes / 2)
    })
  })

  test('diffImages() sees through holes and other cuts of the same bytes', async () => {
    await withScope(async (scope) => {
      const repository = await makeRepository(scope)
      const tree = await makeTree(scope, { data: noise(100_000), 'z-sparse': '' })
      await truncate(join(tree, 'z-sparse'), 200_000)
      await run('touch', ['-d', '@0', join(tree, 'z-sparse'), tree])
      const a = await captureTree(repository, tree, {
        name: 'web',
        version: '1',
        pieceLengthBytes: PIECE_BYTES,
      })
      await writeFile(join(tree, 'z-sparse'), Buffer.alloc(200_000))
      await run('touch', ['-d', '@0', join(tree, 'z-sparse'), tree])
      const b = await captureTree(repository, tree, {
        name: 'web',
        version: '2',
        pieceLengthBytes: 4 * PIECE_BYTES,
      })
      const diff = await diffImages(a.image, b.image)
      assert.deepEqual(diff.differences.map(show), [])
      assert.equal(diff.unchangedCount, 3)
    })
  })

  test('diffImages() of an image with itself fetches nothing', async () => {
    await withScope(async (scope) => {
      const repository = await makeRepository(scope)
      const tree = await makeTree(scope, { data: noise(100_000) })
      const { image } = await captureTree(repository, tree, { name: 'web', version: '1' })
      const { differences, fetchBytes } = await diffImages(image, image)
      assert.deepEqual([differences, fetchBytes], [[], 0])
    })
  })

  test('diffImages() of any two trees agrees with a comparison of their files', async () => {
    await withScope(async (scope) => {
      const repository = await makeRepository(scope)
      const block = fc.integer({ min: 0, max: 3 })
      const file = fc
        .array(block, { maxLength: 60 })
        .map((blocks) =>
          Buffer.concat(blocks.map((seed) => Buffer.alloc(1 + 700 * seed, `block ${seed}`))),
        )
      const tree = fc.dictionary(fc.constantFrom('a', 'b', 'c', 'd', 'e'), file)
      let version = 0
      const capture = async (content: Record<string, Buffer>) => {
        const directory = await makeTree(scope, content)
        await run('sh', ['-c', 'find "$1" -exec touch -d @0 {} +', 'sh', directory])
        const image = { name: 'any', version: String(++version), pieceLengthBytes: PIECE_BYTES }
        return { directory, image: (await captureTree(repository, directory, image)).image }
      }
      const property = fc.asyncProperty(tree, tree, async (left, right) => {
        const [a, b] = [await capture(left), await capture(right)]
        const expected: string[] = []
        for (const name of ['a', 'b', 'c', 'd', 'e']) {
          const read = (directory: string) => readFile(join(directory, name)).catch(() => undefined)
          const [old, now] = [await read(a.directory), await read(b.directory)]
          if (old === undefined && now !== undefined) expected.push(`added ${name}`)
          else if (old !== undefined && now === undefined) expected.push(`removed ${name}`)
          else if (old !== undefined && now !== undefined && !old.equals(now)) {
            expected.push(`changed ${name} ${old.length === now.length ? '' : 'size '}content`)
          }
        }
        const { differences } = await diffImages(a.image, b.image)
        assert.deepEqual(differences.map(show), expected)
      })
      await fc.assert(property, { numRuns: 15, endOnFailure: true })
    })
  })
})
