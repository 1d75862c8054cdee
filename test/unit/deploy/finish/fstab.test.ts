import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { formatFstab } from '../../../../src/deploy/finish/fstab.ts'
import type { MadeFileSystem } from '../../../../src/deploy/made-storage.ts'

const ROOT_UUID = '11111111-aaaa-4bbb-8ccc-111111111111'
const SWAP_UUID = '22222222-aaaa-4bbb-8ccc-222222222222'

function made(changes: Partial<MadeFileSystem>): MadeFileSystem {
  return {
    ...{ device: '/dev/sda1', type: 'ext4', uuid: ROOT_UUID, label: 'root' },
    ...{ mountPoint: '/', mountOptions: '' },
    ...changes,
  }
}

const ROOT = made({})
const SWAP = made({
  device: '/dev/sda2',
  type: 'swap',
  uuid: SWAP_UUID,
  label: '',
  mountPoint: null,
})

function fstab(
  golden: string,
  fileSystems: readonly MadeFileSystem[],
  paths: readonly string[] = [],
) {
  const dispensable = new Set<string>()
  return formatFstab(golden, { fileSystems, dispensable, exists: (path) => paths.includes(path) })
}

test('formatFstab() keeps every line that is still right, to the byte', () => {
  const golden = [
    '# /etc/fstab: static file system information.',
    '',
    `UUID=${ROOT_UUID.toUpperCase()}\t/   ext4  errors=remount-ro 0 1`,
    'LABEL=root /mnt/again ext4 noauto 0 0',
    `UUID="${SWAP_UUID}" none swap sw 0 0`,
    'server:/home /home nfs4 rw,_netdev 0 0',
    'tmpfs /tmp tmpfs size=1G 0 0',
    '/srv/data /data none bind 0 0',
    '/dev/sr0 /media/cdrom udf,iso9660 user,noauto 0 0',
    '',
  ].join('\n')
  const again = made({ mountPoint: '/mnt/again', device: '/dev/sda3' })
  assert.equal(fstab(golden, [ROOT, again, SWAP]), golden)
})

test('formatFstab() names disks by UUID and keeps options, dump and pass', () => {
  const golden = '/dev/sda1 / ext4 noatime,errors=remount-ro 1 1\n/dev/sda5 none swap pri=5 0 0\n'
  assert.equal(
    fstab(golden, [ROOT, SWAP]),
    `UUID=${ROOT_UUID} / ext4 noatime,errors=remount-ro 1 1\nUUID=${SWAP_UUID} none swap pri=5 0 0\n`,
  )
})

test('formatFstab() follows a layout that asks for another type and other options', () => {
  const root = made({ type: 'xfs', mountOptions: 'noatime' })
  assert.equal(
    fstab(`UUID=${ROOT_UUID} / ext4 defaults 0 1\n`, [root]),
    `UUID=${ROOT_UUID} / xfs noatime 0 0\n`,
  )
})

test('formatFstab() comments out disks and swap files that are not on the target', () => {
  const golden =
    'LABEL=data /data ext4 defaults 0 2\n/swapfile none swap sw 0 0\n/kept none swap sw 0 0\n'
  assert.equal(
    fstab(golden, [ROOT], ['/kept']),
    '# not on this machine: LABEL=data /data ext4 defaults 0 2\n' +
      '# not on this machine: /swapfile none swap sw 0 0\n' +
      `/kept none swap sw 0 0\nUUID=${ROOT_UUID} / ext4 defaults 0 1\n`,
  )
})

test('formatFstab() lets the machine boot without what only one disk of a RAID has', () => {
  const efi = { type: 'vfat', uuid: 'ABCD-1234', mountPoint: '/boot/efi', device: '/dev/sda1' }
  const facts = { dispensable: new Set(['/dev/sda1']), exists: () => false }
  const format = (golden: string, options: string) =>
    formatFstab(golden, { ...facts, fileSystems: [made({ ...efi, mountOptions: options })] })
  const line = 'UUID=ABCD-1234 /boot/efi vfat umask=0077,nofail,x-systemd.device-timeout=10s 0 2\n'
  assert.equal(format('', ''), line)
  assert.equal(format('UUID=ABCD-1234 /boot/efi vfat umask=0077 0 2\n', ''), line)
  assert.equal(format(line, 'umask=0077'), line)
  const own = 'UUID=ABCD-1234 /boot/efi vfat nofail 0 2\n'
  assert.equal(format(own, ''), own)
})

test('formatFstab() adds what the golden client did not have, with mount points escaped', () => {
  const esp = made({ type: 'vfat', uuid: 'ABCD-1234', mountPoint: '/boot/efi' })
  const odd = made({ type: 'btrfs', mountPoint: '/a b', mountOptions: 'subvol=@a' })
  const unused = made({ mountPoint: null })
  assert.equal(
    fstab('', [ROOT, odd, esp, unused]),
    `UUID=${ROOT_UUID} / ext4 defaults 0 1\nUUID=${ROOT_UUID} /a\\040b btrfs subvol=@a 0 0\n` +
      'UUID=ABCD-1234 /boot/efi vfat umask=0077 0 2\n',
  )
})

test('formatFstab() matches swap areas by identity before order', () => {
  const other = { ...SWAP, uuid: '33333333-aaaa-4bbb-8ccc-333333333333' }
  const golden = `UUID=gone none swap sw 0 0\nUUID=${SWAP_UUID} none swap pri=9 0 0\n`
  assert.equal(
    fstab(golden, [SWAP, other]),
    `UUID=${other.uuid} none swap sw 0 0\nUUID=${SWAP_UUID} none swap pri=9 0 0\n`,
  )
})

test('formatFstab() applied again changes nothing, whatever the golden fstab was', () => {
  const word = fc.stringMatching(/^[ -~]{0,12}$/)
  const source = fc.oneof(word, fc.constantFrom('/dev/sda1', `UUID=${ROOT_UUID}`, 'LABEL=root'))
  const place = fc.oneof(word, fc.constantFrom('/', '/home', 'none', 'swap'))
  const type = fc.constantFrom('ext4', 'swap', 'nfs', 'tmpfs', '')
  const line = fc.tuple(source, place, type, word).map((fields) => fields.join(' '))
  fc.assert(
    fc.property(fc.array(line), (lines) => {
      const once = fstab(lines.join('\n'), [ROOT, SWAP])
      assert.equal(fstab(once, [ROOT, SWAP]), once)
      assert.match(once, /^(UUID=1{8}-\S+|LABEL=root) \/ /m)
    }),
  )
})
