// A golden client with two disks: /boot on RAID 1, everything else on LVM on LUKS on RAID 1, as its manifest says.
import type { DiskLayout, LayoutFileSystem } from '../../../../src/image/image.ts'

const MIB = 2 ** 20
const GIB = 2 ** 30
const RAID = 'A19D880F-05FC-4D3B-A006-743F0F84911E'
const EFI = 'C12A7328-F81F-11D2-BA4B-00A0C93EC93B'
export const GOLDEN_UUID = '22222222-aaaa-4bbb-8ccc-222222222222'

function fileSystem(changes: Partial<LayoutFileSystem>): LayoutFileSystem {
  return {
    ...{ type: 'ext4', uuid: '', label: '', mountPoint: null, mountOptions: '', usedBytes: 0 },
    ...changes,
  }
}

function member(name: string): DiskLayout['disks'][number] {
  const part = (number: number, startBytes: number, sizeBytes: number) => ({
    ...{ number, startBytes, sizeBytes, typeCode: RAID, name: '', attributes: '', uuid: '' },
    ...{ bootable: false, fileSystem: null },
  })
  return {
    ...{ name, sizeBytes: 100 * GIB, sectorBytes: 512, label: 'gpt' },
    partitions: [
      {
        ...{ ...part(1, MIB, 256 * MIB), typeCode: EFI },
        fileSystem: fileSystem({
          ...{ type: 'vfat', uuid: name === 'sda' ? 'ABCD-1234' : 'ABCD-1235' },
          mountPoint: name === 'sda' ? '/boot/efi' : null,
        }),
      },
      part(2, 257 * MIB, GIB),
      part(3, 257 * MIB + GIB, 98 * GIB),
    ],
  }
}

export const GOLDEN_RAID: DiskLayout = {
  disks: [member('sda'), member('sdb')],
  arrays: [
    {
      ...{ name: 'md0', level: 'raid1', metadata: '1.0', members: ['sda2', 'sdb2'] },
      ...{ uuid: '11111111:22222222:33333333:44444444', sizeBytes: GIB - MIB },
      fileSystem: fileSystem({ mountPoint: '/boot', usedBytes: 100 * MIB }),
    },
    {
      ...{ name: 'md1', level: 'raid1', metadata: '1.2', members: ['sda3', 'sdb3'] },
      ...{ uuid: '11111111:22222222:33333333:55555555', sizeBytes: 98 * GIB, fileSystem: null },
    },
  ],
  encrypted: [{ name: 'secret', device: 'md1', uuid: GOLDEN_UUID, fileSystem: null }],
  volumeGroups: [
    {
      ...{ name: 'web', members: ['secret'], sizeBytes: 97 * GIB, freeBytes: 0 },
      volumes: [
        {
          ...{ name: 'root', sizeBytes: 20 * GIB },
          fileSystem: fileSystem({ uuid: GOLDEN_UUID, mountPoint: '/', usedBytes: 2 * GIB }),
        },
        { name: 'swap-1', sizeBytes: 4 * GIB, fileSystem: fileSystem({ type: 'swap' }) },
        {
          ...{ name: 'srv', sizeBytes: 73 * GIB },
          fileSystem: fileSystem({ type: 'xfs', mountPoint: '/srv', mountOptions: 'noatime' }),
        },
      ],
    },
  ],
}
