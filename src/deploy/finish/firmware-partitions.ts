// Partitions without which firmware finds no boot loader: a golden client that booted by the other firmware had none. Pure.
// Invariant: they are added to the golden client's layout alone; a layout that a person wrote is refused instead.
import { listDevices, listMemberships } from '../disks/check-layout.ts'
import {
  partitionName,
  type Layout,
  type WantedDisk,
  type WantedPartition,
} from '../disks/layout.ts'
import { toTypeCode } from '../disks/partition-type.ts'
import { refusal } from '../disks/planning.ts'
import type { PlannedImage } from '../plan.ts'
import type { Firmware } from './firmware.ts'

const MIB = 2 ** 20

/** GRUB's core image takes 100 KiB with RAID and LVM. */
const BIOS_BOOT_BYTES = MIB
/** FAT32, which all firmware reads, begins at 33 MiB; firmware updates want room, too. */
const EFI_BYTES = 256 * MIB

export interface FirmwarePartitionFacts {
  readonly layout: Layout
  readonly firmware: Firmware
  readonly image: PlannedImage
}

/** Throws ERR_SI_TARGET_UNSUITABLE. */
export function withFirmwarePartitions({
  layout,
  firmware,
  image,
}: FirmwarePartitionFacts): Layout {
  if (firmware === 'none') return layout
  const bootDisks = findBootDisks(layout)
  const isMissingEfi =
    firmware !== 'bios' && !layout.disks.some((disk) => bootDisks.has(disk) && hasType(disk, 'efi'))
  const refuse = refusal({ image }, 'a disk')
  let isFirst = true
  const disks = layout.disks.map((disk) => {
    if (!bootDisks.has(disk)) return disk
    const wanted: WantedPartition[] = []
    if (firmware !== 'uefi' && disk.label === 'gpt' && !hasType(disk, 'bios-boot')) {
      wanted.push(newPartition(disk, { type: 'bios-boot', bytes: BIOS_BOOT_BYTES }))
    }
    if (isMissingEfi && disk.label !== 'none') {
      wanted.push(newEfiPartition(disk, wanted, isFirst))
      isFirst = false
    }
    if (wanted.length === 0) return disk
    const names = wanted.map(({ name }) => name).join(' and no ')
    if (layout.origin === 'file') {
      const hint = `Add to disk ${disk.name} of the layout a partition of type bios-boot (1 MiB) or efi, or choose another --firmware`
      throw refuse(`disk ${disk.name} of its layout has no ${names}`, hint)
    }
    if (disk.label === 'dos' && wanted.some(({ number }) => number > 4)) {
      const hint = 'Give a layout file with --layout, or add --firmware none'
      throw refuse(`the msdos table of ${disk.name} has no place left for an ${names}`, hint)
    }
    return { ...disk, partitions: [...wanted, ...disk.partitions] }
  })
  return { ...layout, disks }
}

/** Disks below the file system that holds /boot. */
function findBootDisks(layout: Layout): ReadonlySet<WantedDisk> {
  const devices = listDevices(layout)
  const at = (place: string) => devices.find(({ fileSystem }) => holds(fileSystem, place))?.name
  const memberships = listMemberships(layout)
  const found = new Set<string>()
  const visit = (name: string): void => {
    if (found.has(name)) return
    found.add(name)
    const owner = name.includes('/') ? (name.split('/')[0] ?? name) : name // a volume, of its group
    for (const below of memberships) if (below.owner === owner) visit(below.device)
  }
  const top = at('/boot') ?? at('/')
  if (top !== undefined) visit(top)
  return new Set(
    layout.disks.filter(
      (disk) =>
        found.has(disk.name) ||
        disk.partitions.some(({ number }) => found.has(partitionName(disk, number))),
    ),
  )
}

function holds(fileSystem: WantedDisk['fileSystem'], place: string): boolean {
  if (fileSystem === null) return false
  const { mountPoint, subvolumes } = fileSystem
  return mountPoint === place || subvolumes.some((subvolume) => subvolume.mountPoint === place)
}

function hasType({ label, partitions }: WantedDisk, type: 'efi' | 'bios-boot'): boolean {
  const typeCode = toTypeCode(type, label)
  return partitions.some((partition) => partition.typeCode === typeCode)
}

function newEfiPartition(
  disk: WantedDisk,
  others: readonly WantedPartition[],
  isMounted: boolean,
): WantedPartition {
  const taken = { ...disk, partitions: [...others, ...disk.partitions] }
  return {
    ...newPartition(taken, { type: 'efi', bytes: EFI_BYTES }),
    fileSystem: {
      ...{ type: 'vfat', uuid: '', label: '', usedBytes: 0, subvolumes: [] },
      mountPoint: isMounted ? '/boot/efi' : null,
      mountOptions: isMounted ? 'umask=0077' : '',
    },
  }
}

const NAMES = { efi: 'EFI system partition', 'bios-boot': 'BIOS boot partition' } as const

function newPartition(
  disk: WantedDisk,
  { type, bytes }: { readonly type: 'efi' | 'bios-boot'; readonly bytes: number },
): WantedPartition {
  const taken = new Set(disk.partitions.map(({ number }) => number))
  let number = 1
  while (taken.has(number)) number++
  return {
    ...{ number, size: { kind: 'fixed', bytes }, sourceSizeBytes: null, name: NAMES[type] },
    ...{ typeCode: toTypeCode(type, disk.label) ?? '', uuid: '', attributes: '' },
    ...{ isBootable: false, isKept: false, fileSystem: null },
  }
}
