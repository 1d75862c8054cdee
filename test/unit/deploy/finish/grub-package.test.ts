import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatGrubAnswers, lastingNames } from '../../../../src/deploy/finish/grub-package.ts'

const FACTS = { sizeBytes: 1, model: '', serial: '', transport: 'sata' }

test('lastingNames() takes names that survive another order of the disks', () => {
  const present = [
    { path: '/dev/sda', ids: ['wwn-0x5', 'ata-DISK_1'] },
    { path: '/dev/nvme0n1', ids: ['nvme-eui.0025'] },
    { path: '/dev/vda', ids: [] },
  ].map((disk) => ({ ...FACTS, ...disk, isRemovable: false, isReadOnly: false }))
  assert.deepEqual(lastingNames(['/dev/sda', '/dev/nvme0n1', '/dev/vda', '/dev/loop3'], present), [
    ...['/dev/disk/by-id/ata-DISK_1', '/dev/disk/by-id/nvme-eui.0025', '/dev/vda', '/dev/loop3'],
  ])
})

test('formatGrubAnswers() answers the questions that grub-pc would ask', () => {
  assert.equal(
    formatGrubAnswers(['/dev/sda', '/dev/sdb']),
    'SET grub-pc/install_devices /dev/sda, /dev/sdb\n' +
      'FSET grub-pc/install_devices seen true\nSET grub-pc/install_devices_empty false\n',
  )
})
