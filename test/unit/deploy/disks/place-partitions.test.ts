// Where partitions lie: nothing overlaps, nothing passes the end, what is kept does not move.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { isSiError, SiError } from '../../../../src/core/core.ts'
import type { DiskPartition, PartitionTable } from '../../../../src/host/host.ts'
import { parseLayout } from '../../../../src/deploy/disks/layout-file.ts'
import { placePartitions } from '../../../../src/deploy/disks/place-partitions.ts'

const MIB = 2 ** 20

function place(partitions: string, sizeBytes: number, existing: PartitionTable | null = null) {
  const text = `disks:\n  - name: sda\n    partitions:\n${partitions}`
  const [disk] = parseLayout(text, { file: 'l.yaml', golden: null }).disks
  assert.ok(disk !== undefined)
  return placePartitions(disk, {
    ...{ sizeBytes, sectorBytes: 512, existing, needBytes: () => 0, growsToNeed: false },
    refuse: (why, hint) => new SiError('ERR_SI_TARGET_UNSUITABLE', why, { hint }),
  }).map(({ wanted, found, startBytes, sizeBytes: bytes }) => [
    ...[found?.number ?? wanted.number, startBytes / MIB, bytes / MIB],
  ])
}

function found(number: number, startMib: number, sizeMib: number, label = ''): DiskPartition {
  return {
    ...{ number, startBytes: startMib * MIB, sizeBytes: sizeMib * MIB, uuid: '', name: '' },
    ...{ typeCode: '0FC63DAF-8483-4772-8E79-3D69D8477DE4', attributes: '', isBootable: false },
    signature: { type: 'ext4', label, uuid: '' },
  }
}

const table = (...partitions: DiskPartition[]): PartitionTable => ({
  ...{ label: 'gpt', id: '', partitions },
})

const KEEP = `
      - { number: 1, size: rest, format: ext4, mount: / }
      - { number: 3, keep: true, format: ext4, label: data, mount: /srv }
      - { number: 4, size: 50%, format: swap }
`

test('placePartitions() finds what is kept by its label, and fills what is before and behind', () => {
  const existing = table(found(1, 1, 100, 'old'), found(7, 500, 1000, 'data'))
  assert.deepEqual(place(KEEP, 4000 * MIB, existing), [
    [1, 1, 499],
    [7, 500, 1000],
    [4, 1500, 1999],
  ])
})

const refusals: readonly [string, PartitionTable | null, RegExp][] = [
  ['a disk without a table', null, /sda3 is to be kept, but the disk has no partition table/],
  ['none of that label', table(found(3, 500, 10, 'date')), /but there is none of data/],
  ['two', table(found(3, 500, 9, 'data'), found(4, 600, 9, 'data')), /but 2 are of data/],
  ['another table', { ...table(), label: 'dos' }, /but the table is dos, not gpt/],
  ['no room behind it', table(found(3, 500, 3000, 'data')), /are free beside what is kept/],
  ['no room before it', table(found(3, 1, 100, 'data')), /are free beside what is kept/],
]
for (const [what, existing, message] of refusals) {
  test(`placePartitions() refuses to keep a partition with ${what}`, () => {
    assert.throws(() => place(KEEP.replace('size: rest', 'size: 200MiB'), 4000 * MIB, existing), {
      message,
    })
  })
}

test('placePartitions() never lets partitions overlap or pass the end of the disk', () => {
  const size = fc.oneof(
    fc.integer({ min: 1, max: 3000 }).map((mib) => `${mib}MiB`),
    fc.integer({ min: 1, max: 100 }).map((percent) => `${percent}%`),
  )
  fc.assert(
    fc.property(
      fc.array(size, { minLength: 1, maxLength: 8 }),
      fc.integer({ min: 4 * MIB, max: 8000 * MIB }),
      fc.nat(8),
      (sizes, diskBytes, rest) => {
        const lines = sizes.map(
          (text, index) =>
            `      - { number: ${index + 1}, size: ${index === rest ? 'rest' : text}${index === 0 ? ', format: ext4, mount: /' : ''} }\n`,
        )
        let end = 1
        try {
          for (const [, start = 0, length = 0] of place(lines.join(''), diskBytes)) {
            assert.ok(start >= end && length >= 0)
            end = start + length
          }
        } catch (error) {
          if (!isSiError(error)) throw error
        }
        assert.ok(end * MIB <= Math.max(diskBytes - MIB, MIB))
      },
    ),
  )
})
