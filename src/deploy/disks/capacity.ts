// How large things must be, and how large they come out, through the layers of a layout; pure. Overheads are
// rounded so that a device never offers less than is said here.
import type { Layout, WantedArray, WantedFileSystem, WantedVolumeGroup } from './layout.ts'
import { listDevices } from './check-layout.ts'
import { minimumPartitionBytes, type TreeUsage } from './space.ts'

const MIB = 2 ** 20

/** LVM's default; sizes of volumes are multiples of it. */
export const EXTENT_BYTES = 4 * MIB
/** Labels and metadata at the beginning of a physical volume (pvcreate(8)), and what rounding takes. */
const PHYSICAL_VOLUME_BYTES = 1 * MIB
/** cryptsetup(8): default size of a LUKS2 header. */
const LUKS_BYTES = 16 * MIB

/** What md keeps for itself: superblock, bitmap, and headroom of 1/1024, at most 128 MiB (super1.c). */
function arrayOverheadBytes(memberBytes: number): number {
  return Math.min(128 * MIB, Math.ceil(memberBytes / 1024)) + 2 * MIB
}

/** How many members' worth of data an array of `count` members holds. */
function dataMembers(level: WantedArray['level'], count: number): number {
  switch (level) {
    case '0':
      return count
    case '1':
      return 1
    case '5':
      return count - 1
    case '6':
      return count - 2
    case '10':
      return count / 2
    default:
      return level satisfies never
  }
}

export function arrayBytes(level: WantedArray['level'], memberBytes: readonly number[]): number {
  const smallest = Math.min(...memberBytes)
  const each = Math.max(0, smallest - arrayOverheadBytes(smallest))
  return Math.floor((each * dataMembers(level, memberBytes.length)) / MIB) * MIB
}

export function encryptedBytes(deviceBytes: number): number {
  return Math.max(0, deviceBytes - LUKS_BYTES)
}

/** In whole extents. */
export function groupBytes(memberBytes: readonly number[]): number {
  return memberBytes.reduce((sum, bytes) => {
    const usable = Math.max(0, bytes - PHYSICAL_VOLUME_BYTES)
    return sum + Math.floor(usable / EXTENT_BYTES) * EXTENT_BYTES
  }, 0)
}

export interface NeedOptions {
  /** What the image will occupy below each mount point. */
  readonly usage: ReadonlyMap<string, TreeUsage>
  /** Room for compressed pieces on the root file system while the deployment lasts. */
  readonly spillBytes: number
}

/** The least that each device of the layout must have, by its name. */
export function measureNeeds(layout: Layout, options: NeedOptions): (name: string) => number {
  const devices = new Map(listDevices(layout).map((device) => [device.name, device]))
  const need = (name: string): number => {
    const device = devices.get(name)
    if (device === undefined || device.isKept) return 0
    if (device.fileSystem !== null) return fileSystemNeed(device.fileSystem, options)
    const array = layout.arrays.find(({ members }) => members.includes(name))
    if (array !== undefined) {
      const each = need(array.name) / dataMembers(array.level, array.members.length)
      return each + 2 * arrayOverheadBytes(each) + MIB
    }
    const secret = layout.encrypted.find((one) => one.device === name)
    if (secret !== undefined) return need(secret.name) + LUKS_BYTES
    const group = layout.volumeGroups.find(({ members }) => members.includes(name))
    if (group === undefined) return 0
    // What several members offer together is judged when their sizes are known.
    if (group.members.length > 1) return PHYSICAL_VOLUME_BYTES + EXTENT_BYTES
    return groupNeed(group, layout, need) + PHYSICAL_VOLUME_BYTES + EXTENT_BYTES
  }
  return need
}

function groupNeed(
  group: WantedVolumeGroup,
  { origin }: Layout,
  need: (name: string) => number,
): number {
  return group.volumes.reduce((sum, { name, size }) => {
    const least = need(`${group.name}/${name}`)
    const own =
      size.kind === 'fixed' ? Math.max(size.bytes, origin === 'golden' ? least : 0) : least
    return sum + toExtents(own)
  }, 0)
}

export function toExtents(bytes: number): number {
  return Math.ceil(bytes / EXTENT_BYTES) * EXTENT_BYTES
}

function fileSystemNeed(
  { type, mountPoint, subvolumes, usedBytes }: WantedFileSystem,
  { usage, spillBytes }: NeedOptions,
): number {
  const places = [mountPoint, ...subvolumes.map((one) => one.mountPoint)]
  const mounted = places.filter((place) => place !== null)
  if (mounted.length === 0 || type === 'swap') return 0
  const own = totalUsage(mounted, usage)
  // An EFI system partition is small and as large as its golden client's: no margin for growth.
  if (type === 'vfat') return Math.ceil(Math.max(usedBytes, own?.bytes ?? 0) * 1.05)
  return minimumPartitionBytes({
    ...{ type, usedBytes, usage: own },
    spillBytes: mounted.includes('/') ? spillBytes : 0,
  })
}

/** What the image puts below these mount points together; undefined: nothing is known. */
export function totalUsage(
  mountPoints: readonly string[],
  usage: ReadonlyMap<string, TreeUsage>,
): TreeUsage | undefined {
  const known = mountPoints.flatMap((place) => usage.get(place) ?? [])
  if (known.length === 0) return undefined
  return known.reduce((sum, one) => ({
    ...{ entries: sum.entries + one.entries, bytes: sum.bytes + one.bytes },
  }))
}
