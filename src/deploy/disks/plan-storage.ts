// From a layout and the disks chosen for it to a DiskPlan; pure. Whatever cannot be done is refused here, before
// anything is written. Layers are planned in the order in which they can be made: each when what it is made of
// is there.
import { formatNeed, formatSize } from '../../core/core.ts'
import { partitionPath } from '../../host/host.ts'
import {
  arrayBytes,
  encryptedBytes,
  EXTENT_BYTES,
  groupBytes,
  measureNeeds,
  toExtents,
} from './capacity.ts'
import type {
  DiskPlan,
  PlannedDisk,
  PlannedLayer,
  PlannedPartition,
  PlannedVolumeGroup,
  TargetDisk,
} from './disk-plan.ts'
import { isLogical, partitionName } from './layout.ts'
import type { WantedDisk, WantedVolumeGroup } from './layout.ts'
import { ALIGNMENT_BYTES, placePartitions, type PlacedPartition } from './place-partitions.ts'
import { planFileSystems } from './plan-file-systems.ts'
import { refusal, type Placed, type Planning, type PlanOptions } from './planning.ts'

/** Throws ERR_SI_TARGET_UNSUITABLE. */
export function planStorage(options: PlanOptions): DiskPlan {
  const needBytes = measureNeeds(options.layout, options)
  const planning: Planning = { ...options, needBytes, devices: new Map(), notes: [] }
  const disks = options.layout.disks.map((disk, index) => {
    const target = options.disks[index]
    if (target === undefined) throw new Error('a disk of the layout has no device')
    return planDisk(disk, target, planning)
  })
  const layers = planLayers(planning)
  const fileSystems = planFileSystems(planning)
  const { image, notes } = planning
  return { kind: 'disk', image, resumes: false, disks, layers, fileSystems, notes }
}

function planDisk(disk: WantedDisk, target: TargetDisk, planning: Planning): PlannedDisk {
  const { device, existing, stack } = target
  const { sizeBytes, sectorBytes, path } = device
  const { needBytes, layout, devices } = planning
  const refuse = refusal(planning, path)
  const common = { name: disk.name, device: path, sizeBytes, sectorBytes, existing, stack }
  const { label, diskId } = disk
  if (label === 'none') {
    devices.set(disk.name, { path, sizeBytes, isKept: false })
    const needed = needBytes(disk.name)
    if (needed > sizeBytes) {
      const holds = formatSize(sizeBytes)
      throw refuse(
        `disk holds ${holds}, image needs ${formatNeed(needed, sizeBytes)}`,
        'Choose a larger disk',
      )
    }
    return { ...common, label, diskId, partitions: [] }
  }
  const placed = placePartitions(disk, {
    ...{ sizeBytes, sectorBytes, existing: existing.table, needBytes, refuse },
    growsToNeed: layout.origin === 'golden',
  })
  const partitions = placed.map((one) => toPartition(one, path))
  placed.forEach(({ wanted }, index) => {
    const planned = partitions[index]
    if (planned === undefined) return
    const { isKept } = wanted
    const made = { path: planned.device, sizeBytes: planned.sizeBytes, isKept }
    devices.set(partitionName(disk, wanted.number), made)
  })
  const numbers = partitions.map(({ number }) => number)
  const twice = numbers.find((number, index) => numbers.indexOf(number) !== index)
  if (twice !== undefined) {
    throw refuse(
      `kept partition ${twice} has the number of another one`,
      'Give that another number',
    )
  }
  return { ...common, label, diskId, partitions: withContainer(disk, partitions, path) }
}

function toPartition(placed: PlacedPartition, disk: string): PlannedPartition {
  const { wanted, found, startBytes, sizeBytes } = placed
  const { sourceSizeBytes, isKept } = wanted
  const number = found?.number ?? wanted.number
  const { typeCode, name, uuid, attributes, isBootable } = found ?? wanted
  return {
    ...{ number, device: partitionPath(disk, number), startBytes, sizeBytes, sourceSizeBytes },
    ...{ typeCode, name, uuid, isBootable, isKept, isContainer: false },
    attributes: attributes
      .trim()
      .split(/[\s,]+/)
      .join(','),
  }
}

/** The logical partitions of an msdos table lie in an extended one. */
function withContainer(
  disk: WantedDisk,
  partitions: readonly PlannedPartition[],
  path: string,
): readonly PlannedPartition[] {
  const first = partitions.findIndex(({ number }) => isLogical(disk, number))
  const start = partitions[first]
  const end = partitions.findLast(({ number }) => isLogical(disk, number))
  if (start === undefined || end === undefined) return partitions
  const isFree = (one: number) => !partitions.some(({ number }) => number === one)
  const number = disk.extendedNumber ?? [1, 2, 3].find(isFree) ?? 4
  const startBytes = start.startBytes - ALIGNMENT_BYTES
  const container: PlannedPartition = {
    ...{ number, device: partitionPath(path, number), startBytes, typeCode: 'f' },
    ...{ sizeBytes: end.startBytes + end.sizeBytes - startBytes, sourceSizeBytes: null },
    ...{ name: '', uuid: '', attributes: '', isBootable: false, isKept: false, isContainer: true },
  }
  return partitions.toSpliced(first, 0, container)
}

/** Each layer when its members are there. The layout was checked: there are no circles. */
function planLayers(planning: Planning): readonly PlannedLayer[] {
  const { layout, devices } = planning
  const makers = [
    ...layout.arrays.map((one) => ({
      members: one.members,
      plan: (members: readonly Placed[]): PlannedLayer => ({
        ...{ kind: 'array', name: one.name, device: arrayPath(one.name), level: one.level },
        ...{ metadata: one.metadata, uuid: one.uuid, members: members.map(({ path }) => path) },
        sizeBytes: arrayBytes(
          one.level,
          members.map(({ sizeBytes }) => sizeBytes),
        ),
      }),
    })),
    ...layout.encrypted.map((one) => ({
      members: [one.device],
      plan: ([member]: readonly Placed[]): PlannedLayer => ({
        ...{ kind: 'encryption', name: one.name, device: mapperPath(one.name), uuid: one.uuid },
        ...{ on: member?.path ?? '', sizeBytes: encryptedBytes(member?.sizeBytes ?? 0) },
        ...{ keyFile: requireKey(one, planning), keyInTarget: one.keyInTarget },
      }),
    })),
    ...layout.volumeGroups.map((one) => ({
      members: one.members,
      plan: (members: readonly Placed[]): PlannedLayer => planGroup(one, members, planning),
    })),
  ]
  const layers: PlannedLayer[] = []
  const waiting = new Set(makers)
  while (waiting.size > 0) {
    const ready = [...waiting].find(({ members }) => members.every((name) => devices.has(name)))
    if (ready === undefined) throw new Error('the layout has a circle')
    waiting.delete(ready)
    const layer = ready.plan(ready.members.flatMap((name) => devices.get(name) ?? []))
    layers.push(layer)
    for (const { name, path, sizeBytes } of devicesOf(layer)) {
      devices.set(name, { path, sizeBytes, isKept: false })
    }
  }
  return layers
}

function devicesOf(layer: PlannedLayer) {
  if (layer.kind !== 'volumeGroup') return [{ ...layer, path: layer.device }]
  return layer.volumes.map(({ name, device, sizeBytes }) => ({
    ...{ name: `${layer.name}/${name}`, path: device, sizeBytes },
  }))
}

/** `md0` is the kernel's own name, others are links in /dev/md. */
function arrayPath(name: string): string {
  return /^md\d+$/.test(name) ? `/dev/${name}` : `/dev/md/${name}`
}

function mapperPath(name: string): string {
  return `/dev/mapper/${name}`
}

/** Device mapper's names double the dashes within the names of group and volume (lvm(8), NAMES). */
function volumePath(group: string, volume: string): string {
  return mapperPath([group, volume].map((name) => name.replaceAll('-', '--')).join('-'))
}

function requireKey(
  { name, keyFile }: { readonly name: string; readonly keyFile: string | null },
  planning: Planning,
): string {
  if (keyFile !== null) return keyFile
  throw refusal(planning, planning.disks.map(({ device }) => device.path).join(', '))(
    `no key is known for the encrypted device ${name}`,
    'Write key-file into a layout file; si-lsimage IMAGE --layout prints one to begin with',
  )
}

function planGroup(
  group: WantedVolumeGroup,
  members: readonly Placed[],
  planning: Planning,
): PlannedVolumeGroup {
  const { layout, needBytes } = planning
  const refuse = refusal(planning, `volume group ${group.name}`)
  const sizeBytes = groupBytes(members.map((member) => member.sizeBytes))
  const least = (name: string) => toExtents(needBytes(`${group.name}/${name}`))
  const sizes = group.volumes.map(({ name, size }): number => {
    if (size.kind === 'rest') return least(name)
    if (size.kind === 'fixed') {
      return Math.max(toExtents(size.bytes), layout.origin === 'golden' ? least(name) : 0)
    }
    return Math.floor((sizeBytes * size.percent) / 100 / EXTENT_BYTES) * EXTENT_BYTES
  })
  const neededBytes = sizes.reduce((sum, bytes) => sum + bytes, 0)
  if (neededBytes > sizeBytes) {
    const has = formatSize(sizeBytes)
    const needs = formatNeed(neededBytes, sizeBytes)
    throw refuse(`it holds ${has}, image needs ${needs}`, 'Choose larger disks')
  }
  const volumes = group.volumes.map(({ name, size, sourceSizeBytes }, index) => {
    const restBytes = size.kind === 'rest' ? sizeBytes - neededBytes : 0
    const ownBytes = (sizes[index] ?? 0) + restBytes
    if (ownBytes < least(name)) {
      const needs = formatNeed(least(name), ownBytes)
      throw refuse(`volume ${name} has ${formatSize(ownBytes)}, image needs ${needs}`)
    }
    const device = volumePath(group.name, name)
    return { name, device, size, sourceSizeBytes, sizeBytes: ownBytes }
  })
  const paths = members.map(({ path }) => path)
  return { kind: 'volumeGroup', name: group.name, members: paths, sizeBytes, volumes }
}
