// The disk layout of the golden client for the manifest: every disk that carries a captured file system
// or swap, with all its partitions. Invariant: a layout is complete for the root or it is null, with
// a note that says why. Pure. Spec: DiskLayout in the door of image.
import { unescapeOctal, type BlkidValues } from '../host/host.ts'
import type { DiskLayout, LayoutDisk, LayoutFileSystem, LayoutPartition } from '../image/image.ts'
import {
  partitionFromBlkid,
  type BlockDevice,
  type BlockDevices,
  type PartitionTable,
  type TablePartition,
} from './block-devices.ts'
import type { Mount, Swap } from './mounts.ts'

export interface LayoutSource {
  readonly devices: BlockDevices | null
  /** The captured mounts (CapturedMounts.mounts). */
  readonly mounts: readonly Mount[]
  readonly swaps: readonly Swap[]
  readonly usedBytes: ReadonlyMap<string, number>
  readonly fstab: string
}

export interface LayoutResult {
  readonly layout: DiskLayout | null
  readonly notes: readonly string[]
}

/** EFI system partition (UEFI specification, table 5-7) and its msdos type. */
const EFI_SYSTEM_TYPES = new Set(['C12A7328-F81F-11D2-BA4B-00A0C93EC93B', 'EF'])

/** True when a partition is an EFI system partition. */
export function hasEfiSystemPartition(layout: DiskLayout | null): boolean {
  const partitions = layout?.disks.flatMap((disk) => disk.partitions) ?? []
  return partitions.some(({ typeCode }) => EFI_SYSTEM_TYPES.has(typeCode.toUpperCase()))
}

export function buildLayout(source: LayoutSource): LayoutResult {
  const { devices } = source
  const root = source.mounts.find(({ mountPoint }) => mountPoint === '/')
  if (root === undefined) return { layout: null, notes: [] } // a plain directory has no disk
  if (devices === null) {
    return { layout: null, notes: ['No disk layout: the golden client has no working lsblk'] }
  }
  const rootPlace = findPlace(devices, root)
  if ('problem' in rootPlace) {
    return { layout: null, notes: [`No disk layout: the root file system is ${rootPlace.problem}`] }
  }
  const notes: string[] = []
  const disks = new Set([rootPlace.disk])
  for (const mount of source.mounts) {
    const place = findPlace(devices, mount)
    if ('problem' in place) notes.push(`${mount.mountPoint} is not in the layout: ${place.problem}`)
    else disks.add(place.disk)
  }
  for (const disk of swapDisks(devices, source.swaps)) disks.add(disk)
  const built = [...disks].map((disk) => buildDisk(disk, source, devices))
  notes.push(...built.flatMap((disk) => disk.notes))
  const complete = built.flatMap(({ disk }) => (disk === null ? [] : [disk]))
  const hasRoot = complete.some(({ name }) => name === rootPlace.disk.name)
  return { layout: hasRoot ? { disks: complete } : null, notes }
}

type Place = { readonly disk: BlockDevice } | { readonly problem: string }

/** The partitioned disk below a mount, or why there is none. */
function findPlace(devices: BlockDevices, mount: Mount): Place {
  const node = devices.nodes.find((candidate) => isMountOf(mount, candidate))
  if (node === undefined) return { problem: `on ${mount.source || mount.type}, which is no disk` }
  if (node.type !== 'part') {
    const isDisk = node.type === 'disk' || node.type === 'loop'
    const what = isDisk ? 'which has no partition table' : `which is of type ${node.type}`
    return { problem: `on ${node.name}, ${what}` }
  }
  const disk = devices.nodes.find(({ name }) => name === node.parent)
  if (disk === undefined || (disk.type !== 'disk' && disk.type !== 'loop')) {
    return { problem: `on ${node.name}, a partition of ${disk?.type ?? 'an unknown device'}` }
  }
  return { disk }
}

function isMountOf(mount: Mount, node: BlockDevice): boolean {
  // btrfs shows a device number of its own; only the source names the disk.
  return mount.device.startsWith('0:')
    ? mount.source === `/dev/${node.name}`
    : mount.device === node.device
}

function swapDisks(devices: BlockDevices, swaps: readonly Swap[]): BlockDevice[] {
  const names = new Set(swaps.filter(({ isFile }) => !isFile).map(({ path }) => path))
  return devices.nodes.flatMap((node) => {
    if (node.type !== 'part' || !names.has(`/dev/${node.name}`)) return []
    return devices.nodes.filter(({ name, type }) => name === node.parent && type !== 'part')
  })
}

function buildDisk(
  disk: BlockDevice,
  source: LayoutSource,
  devices: BlockDevices,
): { disk: LayoutDisk | null; notes: string[] } {
  const table = devices.tables.get(disk.name) ?? tableFromBlkid(disk, devices)
  if (table === null || (table.label !== 'gpt' && table.label !== 'dos')) {
    const found = table === null ? 'cannot be read' : `is of type ${table.label}`
    return {
      disk: null,
      notes: [`${disk.name} is not in the layout: its partition table ${found}`],
    }
  }
  const notes: string[] = []
  const partitions = table.partitions.map((entry): LayoutPartition => {
    const values = devices.contents.get(entry.device) ?? {}
    const fileSystem = buildFileSystem(entry, values, source)
    if (fileSystem === null && values['TYPE'] !== undefined) {
      notes.push(`${entry.device} holds ${values['TYPE']}, which is not in the layout`)
    }
    return {
      number: Number(/\d+$/.exec(entry.device)?.[0]),
      startBytes: entry.startBytes,
      sizeBytes: entry.sizeBytes,
      typeCode: entry.type.toUpperCase(),
      name: entry.name,
      uuid: (entry.uuid || (values['PART_ENTRY_UUID'] ?? '')).toLowerCase(),
      attributes: entry.attributes,
      bootable: entry.isBootable,
      fileSystem,
    }
  })
  const { sectorBytes, label } = table
  return {
    disk: { name: disk.name, sizeBytes: disk.sizeBytes, sectorBytes, label, partitions },
    notes,
  }
}

/** Partition tables as blkid sees them, for golden clients without sfdisk. */
function tableFromBlkid(disk: BlockDevice, devices: BlockDevices): PartitionTable | null {
  const parts = devices.nodes.filter(({ parent, type }) => parent === disk.name && type === 'part')
  const read = parts.map(({ name }) => ({
    values: devices.contents.get(name) ?? {},
    entry: partitionFromBlkid(name, devices.contents.get(name) ?? {}),
  }))
  const label = read[0]?.values['PART_ENTRY_SCHEME']
  const partitions = read.flatMap(({ entry }) => (entry === null ? [] : [entry]))
  if (label === undefined || partitions.length !== parts.length) return null
  return { label, sectorBytes: disk.sectorBytes, partitions }
}

function buildFileSystem(
  entry: TablePartition,
  values: BlkidValues,
  source: LayoutSource,
): LayoutFileSystem | null {
  const { TYPE: type, USAGE: usage } = values
  if (type === undefined || (usage !== 'filesystem' && type !== 'swap')) return null
  const node = source.devices?.nodes.find(({ name }) => name === entry.device)
  const mount = node && source.mounts.find((candidate) => isMountOf(candidate, node))
  const mountPoint = type === 'swap' ? null : (mount?.mountPoint ?? null)
  return {
    type,
    uuid: values['UUID'] ?? '',
    label: values['LABEL'] ?? '',
    mountPoint,
    mountOptions: mountPoint === null ? '' : fstabOptions(source.fstab, mountPoint),
    usedBytes: mountPoint === null ? 0 : (source.usedBytes.get(mountPoint) ?? 0),
  }
}

/** The fourth field of fstab(5) for a mount point; `defaults` where it is not listed. */
export function fstabOptions(fstab: string, mountPoint: string): string {
  for (const line of fstab.split('\n')) {
    const [device = '', target = '', , options] = line.trim().split(/\s+/)
    if (device === '' || device.startsWith('#')) continue
    if (unescapeOctal(target) === mountPoint && options !== undefined) return options
  }
  return 'defaults'
}
