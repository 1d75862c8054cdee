import assert from 'node:assert/strict'
import { test } from 'node:test'
import { chooseDisks, matchesPattern } from '../../../../src/deploy/disks/choose-disks.ts'
import { FIRST_DISK, type DiskRule, type WantedDisk } from '../../../../src/deploy/disks/layout.ts'
import { transportOf, type DiskFacts } from '../../../../src/host/host.ts'

const GIB = 2 ** 30

function disk(path: string, gib: number, changes: Partial<DiskFacts> = {}): DiskFacts {
  return {
    ...{ path, sizeBytes: gib * GIB, model: 'QEMU HARDDISK', serial: `S${gib}`, transport: 'sata' },
    ...{ isRemovable: false, isReadOnly: false, ids: [] },
    ...changes,
  }
}

const PRESENT = [
  disk('/dev/nvme0n1', 500, { transport: 'nvme', model: 'Samsung SSD 990', ids: ['nvme-Sam_1'] }),
  disk('/dev/sda', 100),
  disk('/dev/sdb', 4000),
  disk('/dev/sdc', 16, { isRemovable: true, transport: 'usb' }),
]

function choose(...rules: Partial<DiskRule>[]): readonly string[] {
  const wanted = rules.map((rule, index): WantedDisk => ({
    ...{ name: `d${index}`, label: 'gpt', diskId: '', extendedNumber: null, partitions: [] },
    ...{ fileSystem: null, rule: { ...FIRST_DISK, pick: null, ...rule } },
  }))
  return chooseDisks(wanted, PRESENT)
}

test('chooseDisks() picks by size, model, transport and name', () => {
  assert.deepEqual(choose({ pick: 'first' }), ['/dev/nvme0n1'])
  assert.deepEqual(choose({ pick: 'smallest' }), ['/dev/sda'])
  assert.deepEqual(choose({ pick: 'largest' }), ['/dev/sdb'])
  assert.deepEqual(choose({ model: 'samsung*' }), ['/dev/nvme0n1'])
  assert.deepEqual(choose({ byId: 'nvme-*' }), ['/dev/nvme0n1'])
  assert.deepEqual(choose({ transport: 'sata', maximumBytes: 200 * GIB }), ['/dev/sda'])
  assert.deepEqual(choose({ path: '/dev/loop7' }), ['/dev/loop7'])
})

test('chooseDisks() gives a disk to the rule that names it, before others pick', () => {
  assert.deepEqual(choose({ pick: 'first' }, { transport: 'nvme' }), ['/dev/sda', '/dev/nvme0n1'])
})

test('chooseDisks() takes a removable disk only by its name', () => {
  assert.throws(() => choose({ transport: 'usb' }), { message: /no disk fits/ })
  assert.deepEqual(choose({ serial: 'S16' }), ['/dev/sdc'])
})

test('chooseDisks() refuses a rule that fits two disks, or none, and lists what there is', () => {
  assert.throws(() => choose({ transport: 'sata' }), {
    code: 'ERR_SI_TARGET_UNSUITABLE',
    message:
      /\/dev\/sda, \/dev\/sdb all fit the rule of disk "d0" \(transport sata\); there are .*990/,
  })
  assert.throws(() => choose({ minimumBytes: 5000 * GIB, pick: 'first' }), {
    message: /no disk fits the rule of disk "d0" \(at least 4\.9 TiB, first\)/,
  })
  assert.throws(() => choose({ path: '/dev/sda' }, { path: '/dev/sda' }), { message: /two disks/ })
})

test('matchesPattern() gives * its meaning and nothing else', () => {
  assert.equal(matchesPattern('WDC WD40', 'wdc*40'), true)
  assert.equal(matchesPattern('WDCxWD40', 'WDC.WD40'), false)
  assert.equal(matchesPattern('a', 'a|b'), false)
})

test('transportOf() tells what a disk is connected by', () => {
  assert.equal(transportOf('nvme0n1', '/sys/devices/pci/nvme/nvme0/nvme0n1'), 'nvme')
  assert.equal(transportOf('sda', '/sys/devices/pci0/ata1/host0/target0/block/sda'), 'sata')
  assert.equal(transportOf('sdb', '/sys/devices/pci0/usb1/1-1/host2/block/sdb'), 'usb')
  assert.equal(transportOf('sdc', '/sys/devices/pci0/virtio2/host3/block/sdc'), 'virtio')
  assert.equal(transportOf('vda', '/sys/devices/pci0/virtio1/block/vda'), 'virtio')
  assert.equal(transportOf('mmcblk0', '/sys/devices/mmc0/block/mmcblk0'), 'mmc')
})
