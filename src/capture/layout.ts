// The disk layout of the golden client for the manifest: every disk that carries a captured file system
// or swap, with all its partitions. Invariant: a layout is complete for the root or it is null, with
// a note that says why. Pure. Spec: DiskLayout in the door of image.
import type { DiskLayout, LayoutDisk, LayoutPartition } from '../image/image.ts'
import {
  partitionFromBlkid,
  type BlockDevice,
  type BlockDevices,
  type PartitionTable,
} from './block-devices.ts'
import { devicesBelow, findNode, isDisk, membersOf, type Below } from './device-stack.ts'
import { buildFileSystem } from './layout-file-system.ts'
import type { Mount, Swap } from './mounts.ts'
import { buildStacked } from './stacked-layout.ts'

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
  const rootBelow = belowMount(devices, root)
  if ('problem' in rootBelow) {
    return { layout: null, notes: [`No disk layout: the root file system is ${rootBelow.problem}`] }
  }
  const notes: string[] = []
  const used = new Map(rootBelow.nodes.map((node) => [node.name, node]))
  const takeIn = (what: string, below: Below) => {
    if ('problem' in below) notes.push(`${what} is not in the layout: ${below.problem}`)
    else for (const node of below.nodes) used.set(node.name, node)
  }
  for (const mount of source.mounts) takeIn(mount.mountPoint, belowMount(devices, mount))
  for (const node of swapNodes(devices, source.swaps)) {
    takeIn(`swap on ${node.name}`, devicesBelow(devices, node))
  }
  const nodes = withWholeGroups(devices, used)
  const built = nodes.filter(isDisk).map((disk) => buildDisk(disk, source, devices))
  notes.push(...built.flatMap((disk) => disk.notes))
  const disks = built.flatMap(({ disk }) => (disk === null ? [] : [disk]))
  // A layout without a disk of the root, or of what is stacked on several, could not be made again.
  const isComplete = rootBelow.nodes
    .filter(isDisk)
    .every(({ name }) => disks.some((disk) => disk.name === name))
  const layout = isComplete ? { disks, ...buildStacked(nodes, source) } : null
  return { layout, notes }
}

function belowMount(devices: BlockDevices, mount: Mount): Below {
  const node = findNode(devices, mount)
  if (node === undefined) return { problem: `on ${mount.source || mount.type}, which is no disk` }
  return devicesBelow(devices, node)
}

/** Volumes of a group that nobody has mounted come along, and what they lie on; each once, in lsblk's order. */
function withWholeGroups(
  devices: BlockDevices,
  used: ReadonlyMap<string, BlockDevice>,
): readonly BlockDevice[] {
  const all = new Map(used)
  for (const node of used.values()) {
    for (const member of membersOf(devices, node)) {
      const below = devicesBelow(devices, member)
      if ('nodes' in below) for (const one of below.nodes) all.set(one.name, one)
    }
  }
  return [...new Set(devices.nodes.map(({ name }) => name))].flatMap((name) => all.get(name) ?? [])
}

function swapNodes(devices: BlockDevices, swaps: readonly Swap[]): readonly BlockDevice[] {
  const names = new Set(swaps.filter(({ isFile }) => !isFile).map(({ path }) => path))
  const isSwap = ({ name, mapperName }: BlockDevice) =>
    names.has(`/dev/${name}`) || names.has(`/dev/mapper/${mapperName}`)
  return devices.nodes.filter(isSwap)
}

function buildDisk(
  disk: BlockDevice,
  source: LayoutSource,
  devices: BlockDevices,
): { disk: LayoutDisk | null; notes: string[] } {
  const { name, sizeBytes } = disk
  const hasParts = devices.nodes.some(({ parent, type }) => parent === name && type === 'part')
  if (!hasParts) {
    const fileSystem = buildFileSystem(disk, source)
    const { sectorBytes } = disk
    const whole = {
      name,
      sizeBytes,
      sectorBytes,
      label: 'none',
      partitions: [],
      fileSystem,
    } as const
    return { disk: whole, notes: [] }
  }
  const table = devices.tables.get(name) ?? tableFromBlkid(disk, devices)
  if (table === null || (table.label !== 'gpt' && table.label !== 'dos')) {
    const found = table === null ? 'cannot be read' : `is of type ${table.label}`
    return { disk: null, notes: [`${name} is not in the layout: its partition table ${found}`] }
  }
  const notes: string[] = []
  const partitions = table.partitions.map((entry): LayoutPartition => {
    const values = devices.contents.get(entry.device) ?? {}
    const node = devices.nodes.find((one) => one.name === entry.device)
    const fileSystem = node === undefined ? null : buildFileSystem(node, source)
    const isMember = devices.nodes.some(({ parent }) => parent === entry.device)
    if (fileSystem === null && values['TYPE'] !== undefined && !isMember) {
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
  return { disk: { name, sizeBytes, sectorBytes, label, partitions }, notes }
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
