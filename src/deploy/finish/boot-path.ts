// What lies below /boot in a layout, and whether firmware and GRUB can read it; pure. Invariant: a layout that passes can
// be booted as far as its storage goes; whatever cannot be is refused before anything is erased.
import { listDevices, listMemberships } from '../disks/check-layout.ts'
import { partitionName, type Layout, type WantedArray, type WantedDisk } from '../disks/layout.ts'
import { toTypeCode } from '../disks/partition-type.ts'
import type { Firmware } from './firmware.ts'

export interface BootPath {
  /** In the order of the layout. */
  readonly disks: readonly WantedDisk[]
  /** Names of arrays, encrypted devices and volume groups between them and /boot. */
  readonly layers: ReadonlySet<string>
  /** Whether /boot can still be read when any one of the disks has died. */
  readonly isRedundant: boolean
}

/** Of the file system that holds /boot. */
export function findBootPath(layout: Layout): BootPath {
  const devices = listDevices(layout)
  const at = (place: string) => devices.find(({ fileSystem }) => holds(fileSystem, place))?.name
  const memberships = listMemberships(layout)
  const found = new Set<string>()
  const visit = (name: string): void => {
    if (found.has(name)) return
    found.add(name)
    const owner = name.includes('/') ? (name.split('/')[0] ?? name) : name // a volume, of its group
    found.add(owner)
    for (const below of memberships) if (below.owner === owner) visit(below.device)
  }
  const top = at('/boot') ?? at('/')
  if (top !== undefined) visit(top)
  const layers = new Set(memberships.map(({ owner }) => owner).filter((name) => found.has(name)))
  const disks = layout.disks.filter((disk) => namesOf(disk).some((name) => found.has(name)))
  const mirrors = layout.arrays.filter(({ name, level }) => layers.has(name) && level !== '0')
  const isRedundant =
    disks.length > 1 && disks.every((disk) => mirrors.some((array) => isMember(disk, array)))
  return { disks, layers, isRedundant }
}

export interface BootRefusal {
  readonly why: string
  readonly hint: string
}

/** Why nothing could start of these disks; undefined: something can. */
export function findBootFault(layout: Layout, firmware: Firmware): BootRefusal | undefined {
  if (firmware === 'none') return undefined
  const { disks, layers } = findBootPath(layout)
  const secret = layout.encrypted.find(({ name }) => layers.has(name))
  if (secret !== undefined) {
    return {
      why: `/boot lies on the encrypted device ${secret.name}, which GRUB cannot read`,
      hint: 'Give /boot a partition or an array of its own in a layout file, or add --firmware none',
    }
  }
  if (disks.length > 0 && disks.every(({ label }) => label === 'none')) {
    return {
      why: `${disks.map(({ name }) => name).join(', ')} would have no partition table, and so no place for GRUB`,
      hint: 'Give the disk of /boot a table in a layout file, or add --firmware none',
    }
  }
  if (firmware === 'bios') return undefined
  const array = layout.arrays.find((one) => disks.some((disk) => holdsEfi(disk, one)))
  if (array === undefined || (array.level === '1' && array.metadata === '1.0')) return undefined
  return {
    why: `the array ${array.name} is made of EFI system partitions, which firmware reads one by one`,
    hint: 'Make it RAID 1 with metadata "1.0" in a layout file',
  }
}

/** Whether an array is made of EFI system partitions of this disk. */
function holdsEfi(disk: WantedDisk, { members }: WantedArray): boolean {
  return disk.partitions.some(
    (partition) =>
      partition.typeCode === toTypeCode('efi', disk.label) &&
      members.includes(partitionName(disk, partition.number)),
  )
}

function isMember(disk: WantedDisk, { members }: WantedArray): boolean {
  return namesOf(disk).some((name) => members.includes(name))
}

/** Of the disk and its partitions. */
function namesOf(disk: WantedDisk): readonly string[] {
  return [disk.name, ...disk.partitions.map(({ number }) => partitionName(disk, number))]
}

function holds(fileSystem: WantedDisk['fileSystem'], place: string): boolean {
  if (fileSystem === null) return false
  const { mountPoint, subvolumes } = fileSystem
  return mountPoint === place || subvolumes.some((subvolume) => subvolume.mountPoint === place)
}
