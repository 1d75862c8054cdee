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

/** The root on a volume of a RAID 1 of the first partitions of sda and sdb. */
function mirrored(first: WantedDisk, second: WantedDisk): Layout {
  return layout([first, second, disk('sdc', 'gpt', ['/srv'])], {
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
  })
}

test('withFirmwarePartitions() makes every member of a RAID below /boot bootable', () => {
  const plain = mirrored(disk('sda', 'gpt', [null]), disk('sdb', 'gpt', [null]))
  assert.deepEqual(added(plain, 'both'), [
    ['sda 2 BIOS boot partition', 'sda 3 EFI system partition /boot/efi'],
    ['sdb 2 BIOS boot partition', 'sdb 3 EFI system partition unmounted'],
    [],
  ])
})

/** A disk whose second partition is an EFI system partition, mounted or empty. */
function diskWithEfi(name: string, mountPoint: string | null): WantedDisk {
  const plain = disk(name, 'gpt', [null, mountPoint])
  const typeCode = 'C12A7328-F81F-11D2-BA4B-00A0C93EC93B'
  const partitions = plain.partitions.map((one) => (one.number === 2 ? { ...one, typeCode } : one))
  return { ...plain, partitions }
}

test('withFirmwarePartitions() gives the other members of a RAID what only one of them had', () => {
  const one = mirrored(diskWithEfi('sda', '/boot/efi'), disk('sdb', 'gpt', [null]))
  assert.deepEqual(added(one, 'uefi'), [[], ['sdb 2 EFI system partition unmounted'], []])
  assert.deepEqual(added({ ...one, origin: 'file' }, 'uefi'), [[], [], []])
})

test('withFirmwarePartitions() wants a file system on every EFI system partition', () => {
  const image = { name: 'web', version: '7', contentBytes: 1, entryCount: 1 }
  const empty = mirrored(diskWithEfi('sda', '/boot/efi'), diskWithEfi('sdb', null))
  const after = withFirmwarePartitions({ layout: empty, firmware: 'uefi', image })
  assert.equal(after.disks[1]?.partitions[1]?.fileSystem?.type, 'vfat')
  assert.throws(() => added({ ...empty, origin: 'file' }, 'uefi'), {
    message: /the EFI system partition sdb2 of its layout has no file system$/,
    hint: 'Add to sdb2 in the layout: format: vfat',
  })
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
