// On which disks a file system lies: through LVM, encryption and RAID down to whole disks; pure.
import { SiError } from '../../core/core.ts'
import type { MadeDisk, MadeFileSystem, MadeStorage } from '../made-storage.ts'

/** The file system that holds a path of the target, such as /boot/grub. */
export function fileSystemOf(storage: MadeStorage, path: string): MadeFileSystem {
  const holds = (mountPoint: string) =>
    mountPoint === '/' || path === mountPoint || path.startsWith(`${mountPoint}/`)
  const best = storage.fileSystems
    .filter(({ mountPoint }) => mountPoint !== null && holds(mountPoint))
    .sort((a, b) => (b.mountPoint?.length ?? 0) - (a.mountPoint?.length ?? 0))[0]
  if (best !== undefined) return best
  throw new SiError('ERR_SI_INTERNAL', `No file system of the target holds ${path}`)
}

/** All disks that `device` needs, in the order of the storage. */
export function carrierDisks(storage: MadeStorage, device: string): readonly MadeDisk[] {
  const carriers = new Set<string>()
  collect(storage, device, carriers)
  return storage.disks.filter((disk) => [...carriers].some((part) => isPartOf(part, disk.device)))
}

function collect(storage: MadeStorage, device: string, found: Set<string>): void {
  if (found.has(device)) return
  found.add(device)
  for (const below of layerBelow(storage, device)) collect(storage, below, found)
}

function layerBelow(storage: MadeStorage, device: string): readonly string[] {
  const array = storage.arrays.find((array) => array.device === device)
  if (array !== undefined) return array.members
  const opened = storage.encrypted.find(({ name }) => device === `/dev/mapper/${name}`)
  if (opened !== undefined) return [opened.device]
  return storage.volumeGroups.find(({ name }) => isVolumeOf(name, device))?.physicalVolumes ?? []
}

/** /dev/GROUP/VOLUME, or /dev/mapper/GROUP-VOLUME where dashes in names are doubled (lvm(8)). */
function isVolumeOf(group: string, device: string): boolean {
  if (device.startsWith(`/dev/${group}/`)) return true
  const prefix = `/dev/mapper/${group.replaceAll('-', '--')}-`
  return device.startsWith(prefix) && !device.slice(prefix.length).startsWith('-')
}

/** /dev/sda1 or /dev/nvme0n1p1 of its disk, or the disk itself. */
function isPartOf(device: string, disk: string): boolean {
  if (!device.startsWith(disk)) return false
  const rest = device.slice(disk.length)
  return rest === '' || (/\d$/.test(disk) ? /^p\d+$/ : /^\d+$/).test(rest)
}
