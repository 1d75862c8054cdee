// What the golden client's devices are made of: partitions of disks, arrays and volume groups of partitions, and so
// on; and the names by which the layout calls them (FORMAT.md §4.1). Pure.
import type { BlockDevice, BlockDevices, LogicalVolume } from './block-devices.ts'
import type { Mount } from './mounts.ts'

/** Kinds of logical volume whose data lies plainly in their group (lvs(8)): linear, origin, mirrored, RAID. */
const PLAIN_VOLUMES = new Set(['-', 'o', 'O', 'm', 'M', 'r', 'R'])

export function isPlainVolume({ kind }: LogicalVolume): boolean {
  return PLAIN_VOLUMES.has(kind)
}

export function isDisk({ type }: BlockDevice): boolean {
  return type === 'disk' || type === 'loop'
}

export function isArray({ type }: BlockDevice): boolean {
  return /^raid\d/.test(type)
}

/** The device that is mounted; btrfs has a device number of its own, there only the source names it. */
export function findNode(devices: BlockDevices, mount: Mount): BlockDevice | undefined {
  return devices.nodes.find((node) => isMountOf(mount, node))
}

export function isMountOf(mount: Mount, node: BlockDevice): boolean {
  if (!mount.device.startsWith('0:')) return mount.device === node.device
  return [`/dev/${node.name}`, `/dev/mapper/${node.mapperName}`].includes(mount.source)
}

export function findVolume(devices: BlockDevices, node: BlockDevice): LogicalVolume | undefined {
  return devices.volumes.find(({ mapperName }) => mapperName === node.mapperName)
}

/** The devices that a volume group lies on. */
export function findPhysicalVolumes(devices: BlockDevices, group: string): readonly BlockDevice[] {
  return devices.physicalVolumes.flatMap((volume) => {
    if (volume.group !== group) return []
    const node = devices.nodes.find(({ name, mapperName }) =>
      [`/dev/${name}`, `/dev/mapper/${mapperName}`, `/dev/md/${mapperName}`].includes(volume.path),
    )
    return node === undefined ? [] : [node]
  })
}

/** What a device is directly made of; each once. */
export function membersOf(devices: BlockDevices, node: BlockDevice): readonly BlockDevice[] {
  const volume = node.type === 'lvm' ? findVolume(devices, node) : undefined
  if (volume !== undefined) return findPhysicalVolumes(devices, volume.group)
  const parents = devices.nodes.filter(({ name }) => name === node.name).map(({ parent }) => parent)
  return [...new Set(parents)].flatMap((parent) => {
    return devices.nodes.find(({ name }) => name === parent) ?? []
  })
}

export type Below = { readonly nodes: readonly BlockDevice[] } | { readonly problem: string }

/** A device and all that it stands on, down to the disks; or why the layout cannot say that. */
export function devicesBelow(devices: BlockDevices, node: BlockDevice): Below {
  const found = new Map<string, BlockDevice>()
  const queue = [node]
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
    if (found.has(next.name)) continue
    const problem = problemOf(devices, next)
    if (problem !== undefined) return { problem }
    found.set(next.name, next)
    if (!isDisk(next)) queue.push(...membersOf(devices, next))
  }
  return { nodes: [...found.values()] }
}

function problemOf(devices: BlockDevices, node: BlockDevice): string | undefined {
  const { name, type } = node
  if (isDisk(node)) {
    const hasParts = devices.nodes.some((one) => one.parent === name && one.type === 'part')
    const content = devices.contents.get(name)?.['TYPE']
    return hasParts || content !== undefined
      ? undefined
      : `on ${name}, which has no partition table`
  }
  const members = membersOf(devices, node)
  if (type === 'part') {
    const [disk] = members
    const isPlain = disk !== undefined && isDisk(disk)
    return isPlain ? undefined : `on ${name}, a partition of ${disk?.type ?? 'an unknown device'}`
  }
  if (members.length === 0) return `on ${name}, which is of type ${type}`
  if (type === 'lvm') {
    const volume = findVolume(devices, node)
    return volume !== undefined && isPlainVolume(volume)
      ? undefined
      : `on ${node.mapperName}, a thin, cached or snapshot volume`
  }
  return type === 'crypt' || isArray(node) ? undefined : `on ${name}, which is of type ${type}`
}

/** As the layout calls a device. */
export function referenceName(devices: BlockDevices, node: BlockDevice): string {
  if (node.type === 'crypt') return node.mapperName
  if (node.type === 'lvm') {
    const volume = findVolume(devices, node)
    return volume === undefined ? node.mapperName : `${volume.group}/${volume.name}`
  }
  if (!isArray(node)) return node.name
  const own = devices.arrays.get(node.name)?.['MD_DEVNAME'] ?? ''
  return /^[A-Za-z][\w.+-]*$/.test(own) ? own : node.name
}
