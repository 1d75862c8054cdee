// Partitions without which firmware finds no boot loader: a golden client that booted by the other firmware had none. Pure.
// Invariant: they are added to the golden client's layout alone; a layout that a person wrote is refused instead.
import { listMemberships } from '../disks/check-layout.ts'
import { partitionName } from '../disks/layout.ts'
import type { Layout, WantedDisk, WantedFileSystem, WantedPartition } from '../disks/layout.ts'
import { toTypeCode } from '../disks/partition-type.ts'
import { refusal } from '../disks/planning.ts'
import type { PlannedImage } from '../plan.ts'
import { findBootFault, findBootPath } from './boot-path.ts'
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
export function withFirmwarePartitions(facts: FirmwarePartitionFacts): Layout {
  const { layout, firmware, image } = facts
  if (firmware === 'none') return layout
  const refuse = refusal({ image }, 'a disk')
  const fault = findBootFault(layout, firmware)
  if (fault !== undefined) throw refuse(fault.why, fault.hint)
  const { disks: bootDisks, isRedundant } = findBootPath(layout)
  const hasEfi = bootDisks.some((disk) => hasType(disk, 'efi'))
  // A person may have reasons to give only one disk of a RAID an EFI system partition.
  const needsEfi = firmware !== 'bios' && (!hasEfi || (isRedundant && layout.origin === 'golden'))
  let isFirst = !hasEfi
  const disks = layout.disks.map((disk) => {
    if (!bootDisks.includes(disk)) return disk
    const wanted: WantedPartition[] = []
    if (firmware !== 'uefi' && disk.label === 'gpt' && !hasType(disk, 'bios-boot')) {
      wanted.push(newPartition(disk, { type: 'bios-boot', bytes: BIOS_BOOT_BYTES }))
    }
    if (needsEfi && disk.label !== 'none' && !hasType(disk, 'efi')) {
      wanted.push(newEfiPartition(disk, wanted, isFirst))
      isFirst = false
    }
    if (wanted.length > 0) refuseWithoutPlace(disk, wanted, { ...facts, refuse })
    const own = firmware === 'bios' ? disk.partitions : withEfiFormat(disk, { ...facts, refuse })
    return { ...disk, partitions: [...wanted, ...own] }
  })
  return { ...layout, disks }
}

type Refusing = FirmwarePartitionFacts & { readonly refuse: ReturnType<typeof refusal> }

function refuseWithoutPlace(
  disk: WantedDisk,
  wanted: readonly WantedPartition[],
  { layout, refuse }: Refusing,
): void {
  const names = wanted.map(({ name }) => name).join(' and no ')
  if (layout.origin === 'file') {
    const hint = `Add to disk ${disk.name} of the layout a partition of type bios-boot (1 MiB) or efi, or choose another --firmware`
    throw refuse(`disk ${disk.name} of its layout has no ${names}`, hint)
  }
  if (disk.label === 'dos' && wanted.some(({ number }) => number > 4)) {
    const hint = 'Give a layout file with --layout, or add --firmware none'
    throw refuse(`the msdos table of ${disk.name} has no place left for an ${names}`, hint)
  }
}

/** The disk's partitions; EFI system partitions that hold nothing get the file system that firmware reads. */
function withEfiFormat(disk: WantedDisk, { layout, refuse }: Refusing): readonly WantedPartition[] {
  const members = new Set(listMemberships(layout).map(({ device }) => device))
  return disk.partitions.map((partition) => {
    const { number, typeCode, fileSystem, isKept } = partition
    const name = partitionName(disk, number)
    const isEfi = typeCode === toTypeCode('efi', disk.label)
    if (!isEfi || isKept || fileSystem !== null || members.has(name)) return partition
    if (layout.origin === 'golden') return { ...partition, fileSystem: efiFileSystem(false) }
    const why = `the EFI system partition ${name} of its layout has no file system`
    throw refuse(why, `Add to ${name} in the layout: format: vfat`)
  })
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
    fileSystem: efiFileSystem(isMounted),
  }
}

function efiFileSystem(isMounted: boolean): WantedFileSystem {
  return {
    ...{ type: 'vfat', uuid: '', label: '', usedBytes: 0, subvolumes: [] },
    mountPoint: isMounted ? '/boot/efi' : null,
    mountOptions: isMounted ? 'umask=0077' : '',
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
