import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatDiskScript } from '../../../../src/deploy/disks/disk-script.ts'
import { isPlanned } from '../../../../src/deploy/disks/disk-target.ts'
import { planDisk, type PlanDiskOptions } from '../../../../src/deploy/disks/plan-disk.ts'
import { formatPlan } from '../../../../src/deploy/plan.ts'
import type { LayoutDisk, LayoutFileSystem, LayoutPartition } from '../../../../src/image/image.ts'

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

function options(disks: readonly LayoutDisk[], sizeBytes: number): PlanDiskOptions {
  return {
    image: { name: 'web', version: '7', contentBytes: GIB, entryCount: 1000 },
    layout: { disks },
    device: {
      ...{ path: '/dev/sdb', kind: 'disk', sizeBytes, sectorBytes: 512, isReadOnly: false },
      deviceNumbers: ['8:16'],
    },
    existing: { table: null, signature: null },
    ...{ usage: new Map(), spillBytes: 0 },
  }
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

test('planDisk() grows the last growable partition and moves what lies behind it', () => {
  const plan = planDisk(options([disk([SWAP, ROOT, BOOT])], 40 * GIB))
  const sizes = plan.partitions.map(({ number, startBytes, sizeBytes }) => [
    ...[number, startBytes / MIB, sizeBytes / MIB],
  ])
  const rootMib = 40 * 1024 - 2 - 512 - 1024
  assert.deepEqual(sizes, [
    [1, 1, 512],
    [2, 513, rootMib],
    [3, 513 + rootMib, 1024],
  ])
})

test('planDisk() shrinks it down to what is used and 15 %, and no further', () => {
  const neededMib = Math.ceil((2 * GIB * 1.15) / MIB) + 32
  const smallest = (512 + 1024 + neededMib + 2) * MIB
  const plan = planDisk(options([disk([BOOT, ROOT, SWAP])], smallest))
  assert.equal(plan.partitions[1]?.sizeBytes, neededMib * MIB)
  assert.throws(() => planDisk(options([disk([BOOT, ROOT, SWAP])], smallest - 1)), {
    code: 'ERR_SI_TARGET_UNSUITABLE',
    message: 'Cannot deploy image "web" to /dev/sdb: disk holds 3.8 GiB, image needs 3.8 GiB',
  })
})

test('planDisk() makes room for compressed pieces beside the image', () => {
  const fits = options([disk([ROOT])], 4 * GIB)
  assert.ok(planDisk(fits))
  assert.throws(() => planDisk({ ...fits, spillBytes: 2 * GIB }), {
    code: 'ERR_SI_TARGET_UNSUITABLE',
  })
})

test('planDisk() trusts the content of the image more than the golden client’s count', () => {
  const usage = new Map([['/', { entries: 10, bytes: 5 * GIB }]])
  assert.throws(() => planDisk({ ...options([disk([ROOT])], 5 * GIB), usage }), {
    code: 'ERR_SI_TARGET_UNSUITABLE',
  })
})

test('planDisk() asks for more inodes than mkfs would make when the image has many files', () => {
  const usage = new Map([['/', { entries: 1_000_000, bytes: GIB }]])
  const plan = planDisk({ ...options([disk([ROOT])], 8 * GIB), usage })
  assert.equal(plan.partitions[0]?.fileSystem?.minimumInodes, 1_251_024)
  const large = planDisk({ ...options([disk([ROOT])], 80 * GIB), usage })
  assert.equal(large.partitions[0]?.fileSystem?.minimumInodes, null)
})

test('planDisk() turns an msdos table into GPT without its extended partition', () => {
  const dos = disk(
    [
      partition({ number: 1, typeCode: '83', uuid: 'abcd-01', attributes: '80' }),
      partition({ number: 2, startBytes: 20 * GIB, typeCode: '0x5', fileSystem: null }),
      { ...SWAP, number: 5, startBytes: 21 * GIB, typeCode: '82' },
    ],
    { label: 'dos' },
  )
  const plan = planDisk(options([dos], 20 * GIB))
  assert.deepEqual(
    plan.partitions.map(({ number, typeCode, uuid }) => [number, typeCode, uuid]),
    [
      [1, LINUX, ''],
      [5, '0657FD6D-A4AB-43C4-84E5-0933C84B4F4F', ''],
    ],
  )
  assert.deepEqual(plan.notes, ['the msdos partition table becomes GPT'])
})

test('planDisk() leaves a partition empty whose content it cannot make', () => {
  const ntfs = partition({
    ...{ number: 4, startBytes: 30 * GIB, sizeBytes: GIB },
    fileSystem: fileSystem({ type: 'ntfs', mountPoint: null }),
  })
  const plan = planDisk(options([disk([ROOT, ntfs])], 20 * GIB))
  assert.equal(plan.partitions[1]?.fileSystem, null)
  assert.deepEqual(plan.notes, ['partition 4 held ntfs; it stays empty'])
  assert.match(formatPlan(plan), /partition 4, 1\.0 GiB: left empty/)
})

const refused: readonly [string, readonly LayoutDisk[] | null, RegExp][] = [
  ['a directory', null, /no disk layout/],
  ['no root', [disk([BOOT])], /no partition for the root file system/],
  [
    'several disks',
    [disk([ROOT]), disk([BOOT], { name: 'sdc' })],
    /several disks \(sda, sdc\), only one is supported yet/,
  ],
  [
    'LVM',
    [
      disk([
        BOOT,
        partition({ fileSystem: fileSystem({ type: 'LVM2_member', mountPoint: null }) }),
      ]),
    ],
    /uses LVM, not supported yet/,
  ],
  [
    'an unknown file system',
    [disk([partition({ fileSystem: fileSystem({ type: 'jfs' }) })])],
    /it has jfs on \/, not supported yet/,
  ],
  [
    'a btrfs subvolume',
    [
      disk([
        partition({
          fileSystem: fileSystem({ type: 'btrfs', mountOptions: 'rw,subvolid=256,subvol=/@' }),
        }),
      ]),
    ],
    /btrfs subvolume on \//,
  ],
]
for (const [what, disks, message] of refused) {
  test(`planDisk() refuses ${what}`, () => {
    const given = options(disks ?? [], 40 * GIB)
    const layout = disks === null ? null : { disks }
    assert.throws(() => planDisk({ ...given, layout }), {
      code: 'ERR_SI_TARGET_UNSUITABLE',
      message,
    })
  })
}

const hostile: readonly [string, LayoutPartition][] = [
  ['a type with a newline', partition({ typeCode: `${LINUX}\n2 : size=1` })],
  ['a UUID that is none', partition({ uuid: '$(reboot)' })],
  ['attributes with quotes', partition({ attributes: '", bootable' })],
  ['a file system UUID that is an option', partition({ fileSystem: fileSystem({ uuid: '-n' }) })],
  ['a mount point with ..', partition({ fileSystem: fileSystem({ mountPoint: '/../etc' }) })],
  ['a relative mount point', partition({ fileSystem: fileSystem({ mountPoint: 'srv' }) })],
]
for (const [what, planted] of hostile) {
  test(`planDisk() refuses ${what}`, () => {
    const disks = [disk([ROOT, { ...planted, number: 7, startBytes: 50 * GIB }])]
    assert.throws(() => planDisk(options(disks, 90 * GIB)), { code: 'ERR_SI_MANIFEST_FORMAT' })
  })
}

test('formatDiskScript() escapes whatever a name could smuggle into the script', () => {
  const named = partition({ name: 'a"b\\c\n2 : size=1é', attributes: 'LegacyBIOSBootable GUID:60' })
  const plan = planDisk(options([disk([named])], 4 * GIB))
  assert.equal(
    formatDiskScript(plan),
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
  const plan = planDisk(options([disk([ROOT])], 20 * GIB))
  const found = {
    ...{ number: 2, startBytes: MIB, sizeBytes: 20 * GIB - 2 * MIB, uuid: '', name: '' },
    signature: { type: 'ext4', label: '', uuid: ROOT_UUID.toUpperCase() },
  }
  const isIt = (changes: Partial<typeof found>) =>
    isPlanned(plan, { label: 'gpt', partitions: [{ ...found, ...changes }] })
  assert.equal(isIt({}), true)
  assert.equal(isIt({ sizeBytes: GIB }), false)
  assert.equal(isIt({ number: 1 }), false)
  assert.equal(isIt({ signature: { type: 'ext4', label: '', uuid: 'other' } }), false)
  assert.equal(isPlanned(plan, null), false)
  assert.equal(isPlanned(plan, { label: 'dos', partitions: [found] }), false)
})
