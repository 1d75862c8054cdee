import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatDiskScript } from '../../../../src/deploy/disks/disk-script.ts'
import { toLayout } from '../../../../src/deploy/disks/captured-layout.ts'
import type { DiskPlan, TargetDisk } from '../../../../src/deploy/disks/disk-plan.ts'
import { planStorage } from '../../../../src/deploy/disks/plan-storage.ts'
import type { PlanOptions } from '../../../../src/deploy/disks/planning.ts'
import { isPlanned } from '../../../../src/deploy/disks/resume.ts'
import { formatPlan } from '../../../../src/deploy/plan.ts'
import type {
  DiskLayout,
  LayoutDisk,
  LayoutFileSystem,
  LayoutPartition,
} from '../../../../src/image/image.ts'

const MIB = 2 ** 20
const GIB = 2 ** 30
const LINUX = '0FC63DAF-8483-4772-8E79-3D69D8477DE4'
const ROOT_UUID = '22222222-aaaa-4bbb-8ccc-222222222222'

function fileSystem(changes: Partial<LayoutFileSystem>): LayoutFileSystem {
  return {
    ...{ type: 'ext4', uuid: ROOT_UUID, label: '', mountPoint: '/', mountOptions: 'rw' },
    usedBytes: 2 * GIB,
    ...changes,
  }
}

function partition(changes: Partial<LayoutPartition>): LayoutPartition {
  return {
    ...{ number: 1, startBytes: MIB, sizeBytes: 10 * GIB, typeCode: LINUX, name: '', uuid: '' },
    ...{ attributes: '', bootable: false, fileSystem: fileSystem({}) },
    ...changes,
  }
}

function disk(
  partitions: readonly LayoutPartition[],
  changes: Partial<LayoutDisk> = {},
): LayoutDisk {
  return {
    name: 'sda',
    sizeBytes: 100 * GIB,
    sectorBytes: 512,
    label: 'gpt',
    partitions,
    ...changes,
  }
}

function target(path: string, sizeBytes: number): TargetDisk {
  return {
    device: {
      ...{ path, kind: 'disk', sizeBytes, sectorBytes: 512, isReadOnly: false },
      deviceNumbers: ['8:16'],
    },
    existing: { table: null, signature: null },
    stack: [],
  }
}

/** The golden client's disks, planned onto disks of this size. */
function plan(
  disks: readonly LayoutDisk[],
  sizeBytes: number,
  changes: Partial<PlanOptions> & { readonly more?: Partial<DiskLayout> } = {},
): DiskPlan {
  const layout = toLayout({ disks, ...changes.more })
  return planStorage({
    image: { name: 'web', version: '7', contentBytes: GIB, entryCount: 1000 },
    ...{ layout, usage: new Map(), spillBytes: 0 },
    disks: layout.disks.map((_, index) => target(`/dev/sd${'bcd'[index] ?? ''}`, sizeBytes)),
    ...changes,
  })
}

/** Number, start and size in MiB. */
function places(made: DiskPlan) {
  return made.disks.map(({ partitions }) =>
    partitions.map(({ number, startBytes, sizeBytes }) => [
      ...[number, startBytes / MIB, sizeBytes / MIB],
    ]),
  )
}

const BOOT = partition({
  ...{ number: 1, sizeBytes: 512 * MIB, startBytes: MIB },
  fileSystem: fileSystem({ mountPoint: '/boot', usedBytes: 100 * MIB }),
})
const ROOT = partition({ number: 2, startBytes: 513 * MIB })
const SWAP = partition({
  ...{ number: 3, startBytes: 513 * MIB + 10 * GIB, sizeBytes: GIB },
  fileSystem: fileSystem({ type: 'swap', mountPoint: null, usedBytes: 0 }),
})

test('planStorage() grows the last growable partition and moves what lies behind it', () => {
  const rootMib = 40 * 1024 - 2 - 512 - 1024
  assert.deepEqual(places(plan([disk([SWAP, ROOT, BOOT])], 40 * GIB)), [
    [
      [1, 1, 512],
      [2, 513, rootMib],
      [3, 513 + rootMib, 1024],
    ],
  ])
})

test('planStorage() shrinks it down to what is used and 15 %, and no further', () => {
  const neededMib = Math.ceil((2 * GIB * 1.15) / MIB) + 32
  const smallest = (512 + 1024 + neededMib + 2) * MIB
  const made = plan([disk([BOOT, ROOT, SWAP])], smallest)
  assert.equal(made.disks[0]?.partitions[1]?.sizeBytes, neededMib * MIB)
  assert.throws(() => plan([disk([BOOT, ROOT, SWAP])], smallest - 1), {
    code: 'ERR_SI_TARGET_UNSUITABLE',
    message:
      'Cannot deploy image "web" to /dev/sdb: disk holds 3.8 GiB, image needs 3.8 GiB (1 B more)',
  })
})

test('planStorage() makes room for compressed pieces beside the image', () => {
  assert.ok(plan([disk([ROOT])], 4 * GIB))
  assert.throws(() => plan([disk([ROOT])], 4 * GIB, { spillBytes: 2 * GIB }), {
    code: 'ERR_SI_TARGET_UNSUITABLE',
  })
})

test('planStorage() trusts the content of the image more than the golden client’s count', () => {
  const usage = new Map([['/', { entries: 10, bytes: 5 * GIB }]])
  assert.throws(() => plan([disk([ROOT])], 5 * GIB, { usage }), {
    code: 'ERR_SI_TARGET_UNSUITABLE',
  })
})

test('planStorage() asks for more inodes than mkfs would make when the image has many files', () => {
  const usage = new Map([['/', { entries: 1_000_000, bytes: GIB }]])
  const inodes = (sizeBytes: number) =>
    plan([disk([ROOT])], sizeBytes, { usage }).fileSystems[0]?.minimumInodes
  assert.equal(inodes(8 * GIB), 1_251_024)
  assert.equal(inodes(80 * GIB), null)
})

const MSDOS = disk(
  [
    partition({ number: 1, typeCode: '83', uuid: 'abcd1234-01', bootable: true }),
    partition({ number: 2, startBytes: 20 * GIB, typeCode: '0x5', fileSystem: null }),
    { ...SWAP, number: 5, startBytes: 21 * GIB, typeCode: '82' },
    partition({
      ...{ number: 6, startBytes: 23 * GIB, typeCode: '83', sizeBytes: 2 * GIB },
      fileSystem: fileSystem({ mountPoint: '/srv', usedBytes: 0, uuid: '' }),
    }),
  ],
  { label: 'dos' },
)

test('planStorage() keeps an msdos table with its extended partition and its identifier', () => {
  const made = plan([MSDOS], 30 * GIB)
  const [only] = made.disks
  const rootMib = 10 * 1024
  const restMib = 30 * 1024 - 1 - rootMib - 1 - 1024 - 1
  assert.deepEqual(places(made)[0], [
    [1, 1, rootMib],
    [2, 1 + rootMib, 1 + 1024 + 1 + restMib],
    [5, 2 + rootMib, 1024],
    [6, 3 + rootMib + 1024, restMib],
  ])
  assert.ok(only !== undefined)
  assert.match(formatDiskScript(only), /^label: dos\nlabel-id: 0xabcd1234\n/)
  assert.match(formatDiskScript(only), /^1 : .*type=83, bootable$/m)
  assert.match(formatDiskScript(only), /^2 : .*type=f$/m)
})

test('planStorage() leaves unused what an msdos table cannot address', () => {
  const made = plan([MSDOS], 4 * 2 ** 40)
  const last = made.disks[0]?.partitions.at(-1)
  assert.equal((last?.startBytes ?? 0) + (last?.sizeBytes ?? 0), 2 ** 41)
})

test('planStorage() leaves a partition empty whose content it cannot make', () => {
  const ntfs = partition({
    ...{ number: 4, startBytes: 30 * GIB, sizeBytes: GIB },
    fileSystem: fileSystem({ type: 'ntfs', mountPoint: null }),
  })
  const made = plan([disk([ROOT, ntfs])], 20 * GIB)
  assert.deepEqual(made.notes, ['sda4 held ntfs; it stays empty'])
  assert.match(formatPlan(made), /partition 4, 1\.0 GiB: left empty/)
})

test('planStorage() plans each disk by itself, and leaves out those that hold nothing of the system', () => {
  const data = partition({
    ...{ number: 1, sizeBytes: 50 * GIB },
    fileSystem: fileSystem({ type: 'xfs', mountPoint: '/srv', usedBytes: 0, uuid: '' }),
  })
  const foreign = partition({ fileSystem: fileSystem({ type: 'ntfs', mountPoint: null }) })
  const made = plan(
    [disk([BOOT, ROOT]), disk([foreign], { name: 'sdx' }), disk([data], { name: 'nvme0n1' })],
    20 * GIB,
  )
  assert.deepEqual(
    made.disks.map(({ name, device }) => [name, device]),
    [
      ['sda', '/dev/sdb'],
      ['nvme0n1', '/dev/sdc'],
    ],
  )
  assert.equal(made.fileSystems[2]?.device, '/dev/sdc1')
})

test('planStorage() refuses a file system that is mounted and cannot be made', () => {
  const jfs = disk([partition({ fileSystem: fileSystem({ type: 'jfs' }) })])
  assert.throws(() => plan([jfs], 40 * GIB), {
    code: 'ERR_SI_TARGET_UNSUITABLE',
    message: /it has jfs on \//,
  })
})

const hostile: readonly [string, LayoutPartition][] = [
  ['a second root', partition({})],
  ['a type with a newline', partition({ typeCode: `${LINUX}\n2 : size=1` })],
  ['a UUID that is none', partition({ uuid: '$(reboot)' })],
  ['attributes with quotes', partition({ attributes: '", bootable' })],
  ['a file system UUID that is an option', partition({ fileSystem: fileSystem({ uuid: '-n' }) })],
  ['a mount point with ..', partition({ fileSystem: fileSystem({ mountPoint: '/../etc' }) })],
  ['a relative mount point', partition({ fileSystem: fileSystem({ mountPoint: 'srv' }) })],
]
for (const [what, planted] of hostile) {
  test(`planStorage() refuses ${what}`, () => {
    const disks = [disk([ROOT, { ...planted, number: 7, startBytes: 50 * GIB }])]
    assert.throws(() => plan(disks, 90 * GIB), { code: 'ERR_SI_MANIFEST_FORMAT' })
  })
}

test('formatDiskScript() escapes whatever a name could smuggle into the script', () => {
  const named = partition({ name: 'a"b\\c\n2 : size=1é', attributes: 'LegacyBIOSBootable GUID:60' })
  const [made] = plan([disk([named])], 4 * GIB).disks
  assert.ok(made !== undefined)
  assert.equal(
    formatDiskScript(made),
    [
      'label: gpt',
      'unit: sectors',
      '',
      `1 : start=2048, size=${(4096 - 2) * 2048}, type=${LINUX}, name="a\\x22b\\x5cc\\x0a2 : size\\x3d1é", attrs="LegacyBIOSBootable,GUID:60"`,
      '',
    ].join('\n'),
  )
})

test('isPlanned() knows its own disk and no other', () => {
  const made = plan([disk([ROOT])], 20 * GIB)
  const found = {
    ...{ number: 2, startBytes: MIB, sizeBytes: 20 * GIB - 2 * MIB, uuid: '', name: '' },
    ...{ typeCode: LINUX, attributes: '', isBootable: false },
    signature: { type: 'ext4', label: '', uuid: ROOT_UUID.toUpperCase() },
  }
  const holds = (table: TargetDisk['existing']['table']) =>
    isPlanned({
      ...made,
      disks: made.disks.map((one) => ({ ...one, existing: { table, signature: null } })),
    })
  const isIt = (changes: Partial<typeof found>) =>
    holds({ label: 'gpt', id: '', partitions: [{ ...found, ...changes }] })
  assert.equal(isIt({}), true)
  assert.equal(isIt({ sizeBytes: GIB }), false)
  assert.equal(isIt({ number: 1 }), false)
  assert.equal(isIt({ signature: { type: 'ext4', label: '', uuid: 'other' } }), false)
  assert.equal(holds(null), false)
  assert.equal(holds({ label: 'dos', id: '', partitions: [found] }), false)
})
