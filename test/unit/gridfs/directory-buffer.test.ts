import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { DirectoryBuffer } from '../../../src/gridfs/fuse/directory-buffer.ts'
import { type Entry } from '../../../src/gridfs/fuse/attributes.ts'

const FOLDER = 0o040000
const named = (name: string, index: number) => ({
  ...{ name: Buffer.from(name), inode: BigInt(index + 10), type: FOLDER, nextOffset: index + 1 },
})

const entry: Entry = {
  ...{ nodeId: 77, generation: 1, nameValidMs: 1500, attributesValidMs: Infinity },
  attributes: {
    ...{ inode: 77n, sizeBytes: 2 ** 40 + 1, blocks: 8, mode: FOLDER | 0o755, linkCount: 2 },
    ...{ uid: 1, gid: 2, device: 0, blockSizeBytes: 4096 },
    ...{ accessedNs: -1n, modifiedNs: 1_000_000_001n, changedNs: 0n },
  },
}

/** Reads names back as the kernel does: struct fuse_dirent, each aligned to 8 bytes. */
function* namesIn(bytes: Buffer, skippedBytes: number): Generator<string> {
  for (let at = 0; at < bytes.length;) {
    const start = at + skippedBytes
    const length = bytes.readUInt32LE(start + 16)
    assert.equal(bytes.readUInt32LE(start + 20), FOLDER >> 12)
    yield bytes.toString('utf8', start + 24, start + 24 + length)
    at = start + 24 + Math.ceil(length / 8) * 8
  }
}

test('DirectoryBuffer takes names as long as they fit, and no part of one', () => {
  fc.assert(
    fc.property(
      fc.array(fc.string({ minLength: 1, maxLength: 40 }), { maxLength: 60 }),
      fc.integer({ min: 0, max: 4096 }),
      fc.boolean(),
      (names, sizeBytes, hasEntries) => {
        const buffer = new DirectoryBuffer(sizeBytes)
        const taken = names.findIndex((name, index) =>
          hasEntries
            ? !buffer.addWithEntry(named(name, index), entry)
            : !buffer.add(named(name, index)),
        )
        const bytes = buffer.encoded()
        assert.ok(bytes.length <= sizeBytes)
        const expected = taken < 0 ? names : names.slice(0, taken)
        assert.deepEqual([...namesIn(bytes, hasEntries ? 128 : 0)], expected)
      },
    ),
  )
})

test('DirectoryBuffer writes what a lookup of the name says, or node 0', () => {
  const buffer = new DirectoryBuffer(4096)
  buffer.addWithEntry(named('.', 0), undefined)
  buffer.addWithEntry(named('a', 1), entry)
  const bytes = buffer.encoded()
  assert.equal(bytes.readBigUInt64LE(0), 0n)
  const at = 128 + 32 // what "." takes
  assert.equal(bytes.readBigUInt64LE(at), 77n)
  assert.deepEqual([bytes.readBigUInt64LE(at + 16), bytes.readUInt32LE(at + 32)], [1n, 500_000_000])
  assert.equal(bytes.readBigUInt64LE(at + 40 + 8), 2n ** 40n + 1n)
  const [seconds, nanoseconds] = [
    bytes.readBigInt64LE(at + 40 + 24),
    bytes.readUInt32LE(at + 40 + 48),
  ]
  assert.deepEqual([seconds, nanoseconds], [-1n, 999_999_999])
})
