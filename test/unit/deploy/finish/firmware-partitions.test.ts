import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FIRST_DISK, type Layout, type WantedDisk } from '../../../../src/deploy/disks/layout.ts'
import { withFirmwarePartitions } from '../../../../src/deploy/finish/firmware-partitions.ts'
import type { Firmware } from '../../../../src/deploy/finish/firmware.ts'

const GIB = 2 ** 30
const LINUX = { gpt: '0FC63DAF-8483-4772-8E79-3D69D8477DE4', dos: '83', none: '' }

function disk(
  name: string,
  label: WantedDisk['label'],
  mounts: readonly (string | null)[],
): WantedDisk {
  return {
    ...{ name, rule: FIRST_DISK, label, diskId: '', extendedNumber: null, fileSystem: null },
    partitions: mounts.map((mountPoint, index) => ({
      ...{ number: index + 1, size: { kind: 'fixed', bytes: GIB }, sourceSizeBytes: GIB },
      ...{ typeCode: LINUX[label], name: '', uuid: '', attributes: '' },
      ...{ isBootable: false, isKept: false },
      fileSystem:
        mountPoint === null
          ? null
          : {
              ...{ type: 'ext4', uuid: '', label: '', mountPoint, mountOptions: '' },
              ...{ usedBytes: 0, subvolumes: [] },
            },
    })),
  }
}

function layout(disks: readonly WantedDisk[], changes: Partial<Layout> = {}): Layout {
  return { origin: 'golden', disks, arrays: [], encrypted: [], volumeGroups: [], ...changes }
}

function added(before: Layout, firmware: Firmware): string[][] {
  const image = { name: 'web', version: '7', contentBytes: 1, entryCount: 1 }
  const after = withFirmwarePartitions({ layout: before, firmware, image })
  return after.disks.map(({ partitions, name }) =>
    partitions
      .filter((one) => !before.disks.some((disk) => disk.partitions.includes(one)))
      .map((one) => {
        const place = one.fileSystem === null ? '' : ` ${one.fileSystem.mountPoint ?? 'unmounted'}`
        return `${name} ${one.number} ${one.name}${place}`
      }),
  )
}

test('withFirmwarePartitions() adds what the firmware looks for to the disk of /boot alone', () => {
  const plain = layout([disk('sda', 'gpt', ['/boot', '/']), disk('sdb', 'gpt', ['/srv'])])
  assert.deepEqual(added(plain, 'none'), [[], []])
  assert.deepEqual(added(plain, 'bios'), [['sda 3 BIOS boot partition'], []])
  assert.deepEqual(added(plain, 'uefi'), [['sda 3 EFI system partition /boot/efi'], []])
  assert.deepEqual(added(plain, 'both'), [
    ['sda 3 BIOS boot partition', 'sda 4 EFI system partition /boot/efi'],
    [],
  ])
})

test('withFirmwarePartitions() leaves alone what is there, and msdos tables to BIOS', () => {
  const plain = layout([disk('sda', 'gpt', ['/'])])
  const image = { name: 'web', version: '7', contentBytes: 1, entryCount: 1 }
  const complete = withFirmwarePartitions({ layout: plain, firmware: 'both', image })
  assert.deepEqual(added(complete, 'both'), [[]])
  assert.deepEqual(added(layout([disk('sda', 'dos', ['/'])]), 'bios'), [[]])
  assert.deepEqual(added(layout([disk('sda', 'dos', ['/'])]), 'uefi'), [
    ['sda 2 EFI system partition /boot/efi'],
  ])
})

test('withFirmwarePartitions() makes every member of a RAID below /boot bootable', () => {
  const mirrored = layout(
    [disk('sda', 'gpt', [null]), disk('sdb', 'gpt', [null]), disk('sdc', 'gpt', ['/srv'])],
    {
      arrays: [
        {
          ...{ name: 'md0', level: '1', metadata: '1.2', uuid: '', fileSystem: null },
          members: ['sda1', 'sdb1'],
        },
      ],
      volumeGroups: [
        {
          ...{ name: 'vg', members: ['md0'] },
          volumes: [
            {
              ...{ name: 'root', size: { kind: 'rest' }, sourceSizeBytes: null },
              fileSystem: disk('x', 'gpt', ['/']).partitions[0]?.fileSystem ?? null,
            },
          ],
        },
      ],
    },
  )
  assert.deepEqual(added(mirrored, 'both'), [
    ['sda 2 BIOS boot partition', 'sda 3 EFI system partition /boot/efi'],
    ['sdb 2 BIOS boot partition', 'sdb 3 EFI system partition unmounted'],
    [],
  ])
})

test('withFirmwarePartitions() refuses a layout file without them, and a full msdos table', () => {
  const written = layout([disk('sda', 'gpt', ['/'])], { origin: 'file' })
  assert.throws(() => added(written, 'bios'), {
    code: 'ERR_SI_TARGET_UNSUITABLE',
    message:
      'Cannot deploy image "web" to a disk: disk sda of its layout has no BIOS boot partition',
  })
  assert.throws(() => added(layout([disk('sda', 'dos', ['/', '/a', '/b', '/c'])]), 'uefi'), {
    code: 'ERR_SI_TARGET_UNSUITABLE',
  })
})
