// Which mounts of a golden client belong into its image.
import assert from 'node:assert/strict'
import test from 'node:test'
import {
  chooseMounts,
  parseDf,
  parseMountInfo,
  parseSwaps,
  type Mount,
} from '../../../src/capture/mounts.ts'

const MOUNTINFO = `21 27 0:20 / /proc rw,nosuid - proc proc rw
27 1 8:2 / / rw,relatime shared:1 - ext4 /dev/sda2 rw
28 27 8:1 / /boot/efi rw - vfat /dev/sda1 rw
29 27 8:3 / /srv/with\\040space rw - xfs /dev/sda3 rw
30 27 0:40 / /home rw - nfs4 server:/home rw
31 27 8:2 /opt/data /export rw - ext4 /dev/sda2 rw
32 27 0:41 / /run rw - tmpfs tmpfs rw
33 27 7:4 / /snap/core/1 ro - squashfs /dev/loop4 ro
34 27 8:17 / /media/usb rw - ext4 /dev/sdb1 rw
35 27 8:3 / /mnt/again rw - xfs /dev/sda3 rw
36 27 0:50 / /mnt/fuse rw - fuse.sshfs host:/ rw
not a mount line
`

test('parseMountInfo() reads devices, octal escapes and optional fields', () => {
  const mounts = parseMountInfo(MOUNTINFO, '/')
  assert.equal(mounts.length, 11)
  assert.deepEqual(mounts[3], {
    device: '8:3',
    fsRoot: '/',
    mountPoint: '/srv/with space',
    type: 'xfs',
    source: '/dev/sda3',
  })
  assert.equal(mounts[5]?.fsRoot, '/opt/data')
})

test('parseMountInfo() shows mounts below a local tree as the tree would see them', () => {
  const text = `1 0 8:2 / / rw - ext4 /dev/sda2 rw
2 1 7:1 / /mnt/golden rw - ext4 /dev/loop0p1 rw
3 2 7:2 / /mnt/golden/srv rw - ext4 /dev/loop0p2 rw
4 1 7:3 / /mnt/golden2 rw - ext4 /dev/loop1 rw
`
  const points = parseMountInfo(text, '/mnt/golden').map(({ mountPoint }) => mountPoint)
  assert.deepEqual(points, ['/', '/srv'])
})

test('chooseMounts() takes local file systems once and leaves all others out', () => {
  const chosen = chooseMounts(parseMountInfo(MOUNTINFO, '/'), new Set(['8:17']))
  assert.deepEqual(chosen.mountPoints, ['/', '/boot/efi', '/srv/with space'])
  assert.deepEqual(chosen.duplicates, ['/export', '/mnt/again'])
})

test('chooseMounts() captures the root whatever carries it', () => {
  assert.deepEqual(chooseMounts([]).mountPoints, ['/'])
  assert.deepEqual(chooseMounts([mount({ device: '0:30', type: 'overlay' })]), {
    mountPoints: ['/'],
    mounts: [mount({ device: '0:30', type: 'overlay' })],
    duplicates: [],
    strange: [],
  })
})

test('chooseMounts() names the mount points of what is not captured', () => {
  const chosen = chooseMounts([
    mount({}),
    mount({ device: '8:3', mountPoint: '/srv' }),
    mount({ device: '0:21', type: 'sysfs', mountPoint: '/sys' }),
    mount({ device: '0:44', type: 'nfs', mountPoint: '/home' }),
  ])
  assert.deepEqual(chosen.strange, ['/sys', '/home'])
})

test('chooseMounts() takes every btrfs subvolume, but each one once', () => {
  const btrfs = { device: '0:31', type: 'btrfs', source: '/dev/sda2' }
  const chosen = chooseMounts([
    mount({ ...btrfs, fsRoot: '/@' }),
    mount({ ...btrfs, fsRoot: '/@home', mountPoint: '/home' }),
    mount({ ...btrfs, fsRoot: '/@home', mountPoint: '/srv' }),
  ])
  assert.deepEqual(chosen.mountPoints, ['/', '/home'])
  assert.deepEqual(chosen.duplicates, ['/srv'])
})

test('chooseMounts() sees only the last of several mounts on one point', () => {
  const chosen = chooseMounts([
    mount({}),
    mount({ device: '8:3', mountPoint: '/srv' }),
    mount({ device: '0:44', type: 'nfs', mountPoint: '/srv' }),
  ])
  assert.deepEqual(chosen.mountPoints, ['/'])
})

test('chooseMounts() keeps /tmp as a file system and nothing that is mounted below it', () => {
  const chosen = chooseMounts([
    mount({}),
    mount({ device: '8:5', mountPoint: '/tmp' }),
    mount({ device: '8:6', mountPoint: '/tmp/x' }),
  ])
  assert.deepEqual(chosen.mountPoints, ['/', '/tmp'])
})

test('parseDf() reads bytes in use, mount points with spaces and missing percentages', () => {
  const text = `Filesystem 1-blocks Used Available Capacity Mounted on
/dev/sda2 1000 400 600 40% /
/dev/sda3 2000 5 1995 1% /srv/with space
proc 0 0 0 - /proc
`
  assert.deepEqual(
    [...parseDf(text, '/')],
    [
      ['/', 400],
      ['/srv/with space', 5],
      ['/proc', 0],
    ],
  )
})

test('parseSwaps() tells files from partitions, in bytes', () => {
  const text = `Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority
/dev/sda4                               partition\t8\t0\t-2
/swap\\040file                           file\t\t4\t0\t-3
`
  assert.deepEqual(parseSwaps(text, '/'), [
    { path: '/dev/sda4', isFile: false, sizeBytes: 8192 },
    { path: '/swap file', isFile: true, sizeBytes: 4096 },
  ])
})

function mount(over: Partial<Mount>): Mount {
  return { device: '8:2', fsRoot: '/', mountPoint: '/', type: 'ext4', source: '/dev/sda2', ...over }
}
