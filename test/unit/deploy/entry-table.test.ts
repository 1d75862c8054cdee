import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { EntryTableBuilder } from '../../../src/deploy/entry-table-builder.ts'
import {
  entryDetails,
  entryKind,
  entryMtimeNs,
  entryPath,
  findSegment,
  isOneSegment,
} from '../../../src/deploy/entry-table.ts'
import { checkMountPoints } from '../../../src/deploy/disks/mount-points.ts'
import { measureUsage } from '../../../src/deploy/disks/space.ts'
import type { ManifestEntry } from '../../../src/image/image.ts'

function entry(path: string, changes: Partial<ManifestEntry> = {}): ManifestEntry {
  return {
    ...{ type: 'file', path: Buffer.from(path), mode: 0o644, uid: 0, gid: 0, mtimeNs: 0n },
    ...{ sizeBytes: 0, dataOffset: 0, dataBytes: 0, linkTarget: null, xattrs: [], sparse: null },
    ...{ deviceMajor: 0, deviceMinor: 0 },
    ...changes,
  }
}

function build(entries: readonly ManifestEntry[]) {
  const builder = new EntryTableBuilder()
  for (const one of entries) builder.add(one)
  return builder.build()
}

test('a table gives back every field of its entries', () => {
  const arbitrary = fc.record({
    type: fc.constantFrom('directory', 'symlink', 'hardlink', 'character', 'block', 'fifo'),
    path: fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
    mode: fc.integer({ min: 0, max: 0o7777 }),
    uid: fc.integer({ min: 0, max: 2 ** 32 - 2 }),
    gid: fc.integer({ min: 0, max: 2 ** 32 - 2 }),
    mtimeNs: fc.bigInt({ min: -(2n ** 67n), max: 2n ** 67n }),
    linkTarget: fc.option(fc.uint8Array().map((bytes) => Buffer.from(bytes))),
    deviceMajor: fc.nat(),
    deviceMinor: fc.nat(),
    xattrs: fc.array(
      fc.record(
        {
          name: fc.string(),
          value: fc.uint8Array().map((bytes) => Buffer.from(bytes)),
        },
        { noNullPrototype: true },
      ),
    ),
  })
  fc.assert(
    fc.property(fc.array(arbitrary), (changes) => {
      const entries = changes.map((change) => entry('', change as Partial<ManifestEntry>))
      const table = build(entries)
      assert.equal(table.count, entries.length)
      entries.forEach((expected, index) => {
        assert.deepEqual(entryPath(table, index), expected.path)
        assert.equal(entryKind(table, index), expected.type)
        assert.equal(entryMtimeNs(table, index), expected.mtimeNs)
        assert.deepEqual(
          [table.modes[index], table.uids[index], table.gids[index]],
          [expected.mode, expected.uid, expected.gid],
        )
        const details = entryDetails(table, index)
        assert.deepEqual(details.linkTarget, expected.linkTarget ?? Buffer.alloc(0))
        assert.deepEqual(details.xattrs, expected.xattrs)
        if (/character|block/.test(expected.type)) {
          assert.equal(details.deviceMajor, expected.deviceMajor)
          assert.equal(details.deviceMinor, expected.deviceMinor)
        }
      })
    }),
  )
})

const SPARSE = entry('s', {
  ...{ sizeBytes: 100_000, dataOffset: 2048, dataBytes: 700 },
  sparse: [
    { offset: 4096, length: 500 },
    { offset: 50_000, length: 200 },
    { offset: 100_000, length: 0 },
  ],
})

test('segments say where each run of the tar belongs', () => {
  const table = build([
    entry('a', { sizeBytes: 1000, dataOffset: 512, dataBytes: 1000 }),
    entry('empty', { dataOffset: 1536 }),
    SPARSE,
  ])
  assert.equal(table.segmentCount, 3)
  assert.deepEqual([...table.segmentTarOffset], [512, 2048, 2548])
  assert.deepEqual([...table.segmentBytes], [1000, 500, 200])
  assert.deepEqual([...table.segmentEntry], [0, 2, 2])
  assert.deepEqual([...table.segmentFileOffset], [0, 4096, 50_000])
  assert.deepEqual(
    [0, 511, 512, 1511, 1512, 2547, 2548, 2748].map((at) => findSegment(table, at)),
    [...[0, 0, 0, 0, 1, 1, 2, 3]],
  )
  assert.deepEqual(
    [0, 1, 2].map((segment) => isOneSegment(table, segment)),
    [true, false, false],
  )
})

test('EntryTableBuilder refuses data ranges that overlap', () => {
  const builder = new EntryTableBuilder()
  builder.add(entry('a', { sizeBytes: 1000, dataOffset: 512, dataBytes: 1000 }))
  const overlapping = entry('b', { sizeBytes: 10, dataOffset: 1511, dataBytes: 10 })
  assert.throws(() => builder.add(overlapping), { code: 'ERR_SI_MANIFEST_FORMAT' })
})

test('measureUsage() counts whole blocks below the deepest mount point, and no holes', () => {
  const directory = { type: 'directory' } as const
  const table = build([
    entry('', directory),
    entry('a', { sizeBytes: 4097, dataOffset: 512, dataBytes: 4097 }),
    { ...SPARSE, dataOffset: 8192 },
    entry('srv', directory),
    entry('srv/b', { sizeBytes: 1, dataOffset: 20_480, dataBytes: 1 }),
    entry('srv2', directory),
  ])
  const usage = measureUsage(table, ['/', '/srv'])
  // The directory a file system is mounted on is counted for the one around it.
  assert.deepEqual(usage.get('/'), { entries: 5, bytes: 4096 * (3 + 2 + 2) })
  assert.deepEqual(usage.get('/srv'), { entries: 1, bytes: 4096 })
})

test('checkMountPoints() refuses a mount point that the image has as a symlink', () => {
  const directory = { type: 'directory' } as const
  const symlink = { type: 'symlink', linkTarget: Buffer.from('/etc') } as const
  const table = build([entry('', directory), entry('srv', symlink), entry('sr', symlink)])
  checkMountPoints(table, ['/', '/srv2', '/home/srv'])
  for (const mountPoint of ['/srv', '/srv/data']) {
    assert.throws(() => checkMountPoints(table, [mountPoint]), {
      code: 'ERR_SI_MANIFEST_FORMAT',
      message: 'Cannot use disk layout: "srv" is on the way to a mount point and no directory',
    })
  }
})
