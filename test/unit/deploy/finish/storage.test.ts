import assert from 'node:assert/strict'
import { test } from 'node:test'
import { carrierDisks, fileSystemOf } from '../../../../src/deploy/finish/carrier-disks.ts'
import {
  formatCrypttab,
  formatKeyPattern,
  formatMdadmConf,
} from '../../../../src/deploy/finish/disk-tables.ts'
import { reasonForInitramfs } from '../../../../src/deploy/finish/initramfs.ts'
import { findRenewedUuids } from '../../../../src/deploy/finish/renewed-uuids.ts'
import type { MadeFileSystem, MadeStorage } from '../../../../src/deploy/made-storage.ts'
import type { LayoutFileSystem, ManifestHeader } from '../../../../src/image/image.ts'

const ROOT_UUID = '11111111-aaaa-4bbb-8ccc-111111111111'

function disk(device: string): MadeStorage['disks'][number] {
  return { device, label: 'gpt', hasBiosBootPartition: true, efiPartitions: [] }
}

function fileSystem(device: string, mountPoint: string | null, uuid = ROOT_UUID): MadeFileSystem {
  return { device, type: 'ext4', uuid, label: '', mountPoint, mountOptions: '' }
}

/** LVM on LUKS on RAID 1 for the root, a plain partition of another disk for /srv. */
const LAYERED: MadeStorage = {
  disks: ['/dev/sda', '/dev/nvme0n1', '/dev/nvme0n10', '/dev/sdb'].map(disk),
  fileSystems: [
    fileSystem('/dev/mapper/vg--0-root', '/'),
    fileSystem('/dev/md0', '/boot'),
    fileSystem('/dev/sdb1', '/srv'),
  ],
  arrays: [
    {
      ...{ device: '/dev/md0', name: 'boot', uuid: 'aa:bb:cc:dd', level: 'raid1' },
      members: ['/dev/sda2', '/dev/nvme0n1p2'],
    },
    {
      ...{ device: '/dev/md1', name: 'root', uuid: 'ee:ff:00:11', level: 'raid1' },
      members: ['/dev/sda3', '/dev/nvme0n1p3'],
    },
  ],
  volumeGroups: [
    { name: 'vg', physicalVolumes: ['/dev/sdb2'] },
    { name: 'vg-0', physicalVolumes: ['/dev/mapper/secret'] },
  ],
  encrypted: [{ device: '/dev/md1', name: 'secret', uuid: 'u-u', keyFile: '/etc/keys/secret' }],
}

test('carrierDisks() goes down through LVM, LUKS and RAID to whole disks', () => {
  const names = (device: string) => carrierDisks(LAYERED, device).map((disk) => disk.device)
  assert.deepEqual(names('/dev/mapper/vg--0-root'), ['/dev/sda', '/dev/nvme0n1'])
  assert.deepEqual(names('/dev/md0'), ['/dev/sda', '/dev/nvme0n1'])
  assert.deepEqual(names('/dev/vg/home'), ['/dev/sdb'])
  assert.deepEqual(names('/dev/nvme0n10p1'), ['/dev/nvme0n10'])
})

test('fileSystemOf() finds the deepest mount point above a path', () => {
  assert.equal(fileSystemOf(LAYERED, '/boot/grub').device, '/dev/md0')
  assert.equal(fileSystemOf(LAYERED, '/bootstrap').device, '/dev/mapper/vg--0-root')
})

test('formatMdadmConf() replaces arrays and keeps all else', () => {
  assert.equal(
    formatMdadmConf('MAILADDR root\nARRAY /dev/md9 UUID=gone\n\n', LAYERED.arrays),
    'MAILADDR root\nARRAY /dev/md0 UUID=aa:bb:cc:dd\nARRAY /dev/md1 UUID=ee:ff:00:11\n',
  )
  assert.equal(formatMdadmConf('MAILADDR root\n', []), 'MAILADDR root\n')
})

test('formatCrypttab() has the volumes of the target, and keeps those with a new key at each boot', () => {
  const golden =
    '# comment\nsecret UUID=gone none luks\nold /dev/sdz1 none\nswap /dev/sda5 /dev/urandom swap\n'
  assert.equal(
    formatCrypttab(golden, LAYERED.encrypted),
    '# comment\n# not on this machine: old /dev/sdz1 none\n' +
      'swap /dev/sda5 /dev/urandom swap\nsecret UUID=u-u /etc/keys/secret luks\n',
  )
})

test('formatKeyPattern() sets the pattern once', () => {
  const once = formatKeyPattern('# hook\nKEYFILE_PATTERN=/old\n', ['/etc/keys/secret'])
  assert.equal(once, '# hook\nKEYFILE_PATTERN="/etc/keys/secret"\n')
  assert.equal(formatKeyPattern(once, ['/etc/keys/secret']), once)
})

const PLAIN: MadeStorage = {
  ...{ disks: [disk('/dev/sda')], arrays: [], volumeGroups: [], encrypted: [] },
  fileSystems: [fileSystem('/dev/sda1', '/')],
}

function header(fileSystem: Partial<LayoutFileSystem> | null): ManifestHeader {
  const root = { type: 'ext4', uuid: ROOT_UUID, label: '', mountPoint: '/', mountOptions: '' }
  const partitions = [{ fileSystem: { ...root, usedBytes: 0, ...fileSystem } }]
  const layout = fileSystem === null ? null : { disks: [{ partitions }] }
  return { layout } as unknown as ManifestHeader
}

test('findRenewedUuids() tells which UUIDs of the golden client are others now', () => {
  assert.equal(findRenewedUuids(header({}), PLAIN).size, 0)
  assert.equal(findRenewedUuids(header({ uuid: ROOT_UUID.toUpperCase() }), PLAIN).size, 0)
  assert.deepEqual([...findRenewedUuids(header({ uuid: 'old' }), PLAIN)], [['old', ROOT_UUID]])
})

test('reasonForInitramfs() keeps one that fits and tells why another does not', () => {
  const facts = {
    storage: PLAIN,
    renewed: new Map<string, string>(),
    configuration: 'MODULES=most',
  }
  const reason = (image: ManifestHeader, changes: object = {}) =>
    reasonForInitramfs({ ...facts, header: image, maker: 'update-initramfs', ...changes })
  assert.equal(reason(header({})), null)
  assert.match(reason(header(null)) ?? '', /does not tell/)
  assert.match(reason(header({}), { storage: LAYERED }) ?? '', /RAID/)
  assert.match(reason(header({ type: 'LVM2_member' })) ?? '', /other storage/)
  assert.match(reason(header({ type: 'xfs' })) ?? '', /other file systems/)
  assert.match(reason(header({}), { renewed: new Map([['a', 'b']]) }) ?? '', /new UUIDs/)
  assert.match(reason(header({}), { maker: 'dracut' }) ?? '', /dracut/)
  assert.match(reason(header({}), { configuration: '# most\nMODULES=dep\n' }) ?? '', /one machine/)
})
