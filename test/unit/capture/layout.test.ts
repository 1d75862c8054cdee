// From block devices and mounts to the layout in the manifest.
import assert from 'node:assert/strict'
import test from 'node:test'
import type { BlockDevice, BlockDevices } from '../../../src/capture/block-devices.ts'
import { buildLayout, fstabOptions, hasEfiSystemPartition } from '../../../src/capture/layout.ts'
import type { Mount } from '../../../src/capture/mounts.ts'

const ESP = 'C12A7328-F81F-11D2-BA4B-00A0C93EC93B'
const LINUX = '0FC63DAF-8483-4772-8E79-3D69D8477DE4'
const SWAP = '0657FD6D-A4AB-43C4-84E5-0933C84B4F4F'

const FSTAB = `# comment
UUID=1 / ext4 noatime,errors=remount-ro 0 1
UUID=2 /srv/a\\040b xfs defaults,noexec 0 2
`

test('buildLayout() describes every partition of the disk that carries the root', () => {
  const { layout, notes } = buildLayout({
    devices: devices(),
    mounts: [mount('8:2', '/'), mount('8:1', '/boot/efi')],
    swaps: [],
    usedBytes: new Map([['/', 12345]]),
    fstab: FSTAB,
  })
  assert.deepEqual(notes, [])
  assert.equal(layout?.disks.length, 1)
  const [disk] = layout?.disks ?? []
  assert.deepEqual(
    disk?.partitions.map(({ number, typeCode, fileSystem }) => [
      ...[number, typeCode, fileSystem?.type, fileSystem?.mountPoint, fileSystem?.mountOptions],
      fileSystem?.usedBytes,
    ]),
    [
      [1, ESP, 'vfat', '/boot/efi', 'defaults', 0],
      [2, LINUX, 'ext4', '/', 'noatime,errors=remount-ro', 12345],
      [3, SWAP, 'swap', null, '', 0],
    ],
  )
  assert.equal(disk?.partitions[1]?.uuid, 'abcd-02', 'UUIDs are lower case as in /etc/fstab')
  assert.equal(hasEfiSystemPartition(layout), true)
})

test('buildLayout() falls back to blkid where sfdisk is not installed', () => {
  const all = devices()
  const withSfdisk = buildLayout(sourceOf(all))
  const withoutSfdisk = buildLayout(sourceOf({ ...all, tables: new Map() }))
  assert.deepEqual(withoutSfdisk, withSfdisk)
})

test('buildLayout() counts loop devices as disks', () => {
  const all = devices()
  const nodes = all.nodes.map((node) => (node.type === 'disk' ? { ...node, type: 'loop' } : node))
  assert.equal(buildLayout(sourceOf({ ...all, nodes })).layout?.disks[0]?.name, 'sda')
})

test('buildLayout() has no layout for a root on LVM, and says so', () => {
  const lvm = node({ name: 'dm-0', type: 'lvm', device: '253:0' })
  const { layout, notes } = buildLayout({
    ...sourceOf({ ...devices(), nodes: [...devices().nodes, lvm] }),
    mounts: [mount('253:0', '/')],
  })
  assert.equal(layout, null)
  assert.deepEqual(notes, ['No disk layout: the root file system is on dm-0, which is of type lvm'])
})

test('buildLayout() keeps the disk of the root when another mount has no partition', () => {
  const whole = node({ name: 'sdb', type: 'disk', device: '8:16' })
  const { layout, notes } = buildLayout({
    ...sourceOf({ ...devices(), nodes: [...devices().nodes, whole] }),
    mounts: [mount('8:2', '/'), mount('8:16', '/srv')],
  })
  assert.deepEqual(
    layout?.disks.map(({ name }) => name),
    ['sda'],
  )
  assert.deepEqual(notes, ['/srv is not in the layout: on sdb, which has no partition table'])
})

test('buildLayout() is null without a note for a plain directory', () => {
  assert.deepEqual(buildLayout({ ...sourceOf(devices()), mounts: [] }), { layout: null, notes: [] })
})

test('buildLayout() is null with a note when lsblk is missing', () => {
  const { layout, notes } = buildLayout({ ...sourceOf(devices()), devices: null })
  assert.equal(layout, null)
  assert.equal(notes.length, 1)
})

test('fstabOptions() finds mount points with escaped spaces', () => {
  assert.equal(fstabOptions(FSTAB, '/srv/a b'), 'defaults,noexec')
  assert.equal(fstabOptions(FSTAB, '/other'), 'defaults')
})

function sourceOf(all: BlockDevices) {
  return {
    devices: all,
    mounts: [mount('8:2', '/')],
    swaps: [],
    usedBytes: new Map<string, number>(),
    fstab: FSTAB,
  }
}

function devices(): BlockDevices {
  const parts = [
    { device: 'sda1', type: ESP, fileSystem: 'vfat', usage: 'filesystem' },
    { device: 'sda2', type: LINUX, fileSystem: 'ext4', usage: 'filesystem' },
    { device: 'sda3', type: SWAP, fileSystem: 'swap', usage: 'other' },
  ]
  return {
    nodes: [
      node({ name: 'sda', type: 'disk', device: '8:0', sizeBytes: 1e9 }),
      ...parts.map(({ device }, index) =>
        node({ name: device, parent: 'sda', type: 'part', device: `8:${index + 1}` }),
      ),
    ],
    tables: new Map([
      [
        'sda',
        {
          label: 'gpt',
          sectorBytes: 512,
          partitions: parts.map(({ device, type }, index) => ({
            ...{ device, type, startBytes: (index + 1) * 1048576, sizeBytes: 1048576 },
            ...{ uuid: `ABCD-0${index + 1}`, name: '', attributes: '', isBootable: false },
          })),
        },
      ],
    ]),
    contents: new Map(
      parts.map(({ device, type, fileSystem, usage }, index) => [
        device,
        {
          ...{ TYPE: fileSystem, USAGE: usage, UUID: `fs-${index}`, PART_ENTRY_SCHEME: 'gpt' },
          ...{ PART_ENTRY_TYPE: type.toLowerCase(), PART_ENTRY_UUID: `abcd-0${index + 1}` },
          ...{ PART_ENTRY_OFFSET: String((index + 1) * 2048), PART_ENTRY_SIZE: '2048' },
        },
      ]),
    ),
  }
}

function node(over: Partial<BlockDevice>): BlockDevice {
  return {
    ...{ name: 'sda', parent: null, type: 'disk', device: '8:0', sizeBytes: 0 },
    ...{ sectorBytes: 512, isRemovable: false },
    ...over,
  }
}

function mount(device: string, mountPoint: string): Mount {
  return { device, mountPoint, fsRoot: '/', type: 'ext4', source: '/dev/x' }
}
