// From block devices and mounts to the layout in the manifest.
import assert from 'node:assert/strict'
import test from 'node:test'
import type { BlkidValues } from '../../../src/host/host.ts'
import type { BlockDevice, BlockDevices } from '../../../src/capture/block-devices.ts'
import { fstabOptions } from '../../../src/capture/layout-file-system.ts'
import { buildLayout, hasEfiSystemPartition } from '../../../src/capture/layout.ts'
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

test('buildLayout() describes RAID 1, LUKS and LVM below the root by the names of the layout', () => {
  const { layout, notes } = buildLayout({
    devices: stacked(),
    mounts: [mount('253:1', '/'), mount('9:127', '/boot')],
    swaps: [{ path: '/dev/dm-2', isFile: false, sizeBytes: 1 }],
    usedBytes: new Map([['/', 7]]),
    fstab: FSTAB,
  })
  assert.deepEqual(notes, [])
  assert.deepEqual(
    layout?.disks.map(({ name, partitions }) => [name, partitions.map((one) => one.fileSystem)]),
    [
      ['sda', [null, null]],
      ['sdb', [null, null]],
    ],
  )
  assert.deepEqual(
    layout.arrays?.map(({ name, level, members, fileSystem }) => [
      ...[name, level, members.join(), fileSystem?.mountPoint],
    ]),
    [
      ['md127', 'raid1', 'sda1,sdb1', '/boot'],
      ['system', 'raid1', 'sda2,sdb2', undefined],
    ],
  )
  assert.deepEqual(layout.encrypted, [
    { name: 'secret', device: 'system', uuid: 'luks-uuid', fileSystem: null },
  ])
  const [group] = layout.volumeGroups ?? []
  assert.deepEqual(group?.members, ['secret'])
  assert.deepEqual(
    group.volumes.map(({ name, fileSystem }) => [name, fileSystem?.type, fileSystem?.usedBytes]),
    [
      ['root', 'ext4', 7],
      ['swap', 'swap', 0],
    ],
  )
})

test('buildLayout() has the subvolumes of btrfs that are mounted', () => {
  const all = devices()
  const values = { ...all.contents.get('sda2'), TYPE: 'btrfs' }
  const contents = new Map(all.contents).set('sda2', values)
  const subvolume = (fsRoot: string, mountPoint: string): Mount => ({
    ...{ device: '0:33', fsRoot, mountPoint, type: 'btrfs', source: '/dev/sda2' },
  })
  const mounts = [subvolume('/@', '/'), subvolume('/@srv', '/srv/a b')]
  const { layout } = buildLayout({ ...sourceOf({ ...all, contents }), mounts })
  const fileSystem = layout?.disks[0]?.partitions[1]?.fileSystem
  assert.equal(fileSystem?.mountPoint, null)
  assert.deepEqual(fileSystem.subvolumes, [
    { path: '@', mountPoint: '/', mountOptions: 'noatime,errors=remount-ro' },
    { path: '@srv', mountPoint: '/srv/a b', mountOptions: 'defaults,noexec' },
  ])
})

test('buildLayout() has no layout for a root on a thin volume', () => {
  const all = stacked()
  const volumes = all.volumes.map((one) => ({ ...one, kind: 'V' }))
  const { layout, notes } = buildLayout({
    ...sourceOf({ ...all, volumes }),
    mounts: [mount('253:1', '/')],
  })
  assert.equal(layout, null)
  assert.match(notes.join(), /web-root, a thin, cached or snapshot volume/)
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
    ...{ arrays: new Map(), volumes: [], physicalVolumes: [] },
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
    mapperName: over.name ?? 'sda',
    ...{ name: 'sda', parent: null, type: 'disk', device: '8:0', sizeBytes: 0 },
    ...{ sectorBytes: 512, isRemovable: false },
    ...over,
  }
}

function mount(device: string, mountPoint: string): Mount {
  return { device, mountPoint, fsRoot: '/', type: 'ext4', source: '/dev/x' }
}

/** Two disks: md127 (/boot) and md126 called system, on it LUKS, on it the group web with root and swap. */
function stacked(): BlockDevices {
  const both = (name: string, part: number, device: string) =>
    ['sda', 'sdb'].map((disk) => node({ name, parent: `${disk}${part}`, type: 'raid1', device }))
  const disks = ['sda', 'sdb'].flatMap((disk, at) => [
    node({ name: disk, type: 'disk', device: `8:${at * 16}` }),
    node({ name: `${disk}1`, parent: disk, type: 'part', device: `8:${at * 16 + 1}` }),
    node({ name: `${disk}2`, parent: disk, type: 'part', device: `8:${at * 16 + 2}` }),
  ])
  const mapped = (name: string, mapperName: string, over: Partial<BlockDevice>) =>
    node({ name, mapperName, device: `253:${name.slice(3)}`, ...over })
  const volume = (name: string) => ({
    ...{ group: 'web', name, mapperName: `web-${name}`, sizeBytes: 1e9, kind: '-' },
    ...{ groupBytes: 2e9, groupFreeBytes: 0 },
  })
  const table = (disk: string) => ({
    ...{ label: 'gpt', sectorBytes: 512 },
    partitions: [1, 2].map((number) => ({
      ...{ device: `${disk}${number}`, type: LINUX, startBytes: number * 1e6, sizeBytes: 1e6 },
      ...{ uuid: '', name: '', attributes: '', isBootable: false },
    })),
  })
  const member = { TYPE: 'linux_raid_member', USAGE: 'raid' }
  return {
    nodes: [
      ...disks,
      ...both('md127', 1, '9:127'),
      ...both('md126', 2, '9:126'),
      mapped('dm-0', 'secret', { parent: 'md126', type: 'crypt' }),
      mapped('dm-1', 'web-root', { parent: 'dm-0', type: 'lvm' }),
      mapped('dm-2', 'web-swap', { parent: 'dm-0', type: 'lvm' }),
    ],
    tables: new Map([
      ['sda', table('sda')],
      ['sdb', table('sdb')],
    ]),
    contents: new Map<string, BlkidValues>([
      ...['sda1', 'sda2', 'sdb1', 'sdb2'].map((name) => [name, member] as const),
      ['md127', { TYPE: 'ext4', USAGE: 'filesystem' }],
      ['md126', { TYPE: 'crypto_LUKS', USAGE: 'crypto', UUID: 'luks-uuid' }],
      ['dm-0', { TYPE: 'LVM2_member', USAGE: 'raid' }],
      ['dm-1', { TYPE: 'ext4', USAGE: 'filesystem', UUID: 'root-uuid' }],
      ['dm-2', { TYPE: 'swap', USAGE: 'other' }],
    ]),
    arrays: new Map([
      ['md127', { MD_LEVEL: 'raid1', MD_METADATA: '1.0', MD_DEVNAME: '127', MD_UUID: 'a' }],
      ['md126', { MD_LEVEL: 'raid1', MD_METADATA: '1.2', MD_DEVNAME: 'system', MD_UUID: 'b' }],
    ]),
    volumes: [volume('root'), volume('swap')],
    physicalVolumes: [{ path: '/dev/mapper/secret', group: 'web' }],
  }
}
