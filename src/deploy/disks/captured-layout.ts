// The golden client's layout, as the manifest has it, as what a target's disks are to hold. On each disk and in
// each full volume group the last thing that can grow or shrink gets the rest. Pure; the manifest is not
// believed: what makes no sense is refused here or in check-layout.ts.
import { SiError } from '../../core/core.ts'
import { partitionPath } from '../../host/host.ts'
import type {
  DiskLayout,
  LayoutDisk,
  LayoutFileSystem,
  LayoutPartition,
} from '../../image/image.ts'
import type { LayoutArray, LayoutVolumeGroup } from '../../image/image.ts'
import { checkLayout } from './check-layout.ts'
import { FIRST_DISK, RAID_LEVELS, RAID_METADATA } from './layout.ts'
import type { Layout, Size, WantedArray, WantedDisk, WantedFileSystem } from './layout.ts'
import type { WantedPartition, WantedVolumeGroup } from './layout.ts'
import { isExtendedType, toTypeCode } from './partition-type.ts'

/** File systems whose size follows the disk. */
const GROWABLE = new Set(['ext2', 'ext3', 'ext4', 'xfs', 'btrfs'])

/** A group with less of itself free was meant to be full. */
const FULL_GROUP_FRACTION = 0.05

/** Throws ERR_SI_MANIFEST_FORMAT for values that no layout may have. */
export function toLayout(layout: DiskLayout): Layout {
  const { arrays = [], encrypted = [], volumeGroups = [] } = layout
  const members = new Set([
    ...arrays.flatMap((array) => array.members),
    ...encrypted.map(({ device }) => device),
    ...volumeGroups.flatMap((group) => group.members),
  ])
  const wanted: Layout = {
    origin: 'golden',
    disks: layout.disks
      .filter((disk) => isUsed(disk, members))
      .map((disk) => toDisk(disk, members)),
    arrays: arrays.map(toArray),
    encrypted: encrypted.map(({ name, device, uuid, fileSystem }) => ({
      ...{ name, device, uuid, keyFile: null, keyInTarget: null },
      fileSystem: toFileSystem(fileSystem),
    })),
    volumeGroups: volumeGroups.map(toVolumeGroup),
  }
  return checkLayout(wanted, ({ message }) => malformed(message))
}

function isUsed(disk: LayoutDisk, members: ReadonlySet<string>): boolean {
  const isInUse = (fileSystem: LayoutFileSystem | null) =>
    fileSystem !== null && (isMounted(fileSystem) || fileSystem.type === 'swap')
  return (
    members.has(disk.name) ||
    isInUse(disk.fileSystem ?? null) ||
    disk.partitions.some(
      ({ number, fileSystem }) =>
        isInUse(fileSystem) || members.has(partitionPath(disk.name, number)),
    )
  )
}

function isMounted({ mountPoint, subvolumes = [] }: LayoutFileSystem): boolean {
  return mountPoint !== null || subvolumes.length > 0
}

function isGrowable(fileSystem: LayoutFileSystem | null): boolean {
  return fileSystem !== null && isMounted(fileSystem) && GROWABLE.has(fileSystem.type)
}

function toDisk(disk: LayoutDisk, members: ReadonlySet<string>): WantedDisk {
  const { name, label } = disk
  const isContainer = ({ typeCode }: LayoutPartition) => label === 'dos' && isExtendedType(typeCode)
  const partitions = disk.partitions
    .filter((partition) => !isContainer(partition))
    .sort((a, b) => a.startBytes - b.startBytes)
  const growable = partitions.findLast(
    ({ number, fileSystem }) =>
      isGrowable(fileSystem) || members.has(partitionPath(disk.name, number)),
  )
  const msdosId = /^([0-9a-f]{8})-/i.exec(partitions[0]?.uuid ?? '')?.[1] ?? ''
  return {
    ...{ name, label, rule: FIRST_DISK, diskId: label === 'dos' ? msdosId.toLowerCase() : '' },
    extendedNumber: disk.partitions.find(isContainer)?.number ?? null,
    partitions: partitions.map((partition) => {
      const bytes = partition.sizeBytes
      const size: Size = partition === growable ? { kind: 'rest' } : { kind: 'fixed', bytes }
      return toPartition(partition, { size, label })
    }),
    fileSystem: toFileSystem(disk.fileSystem ?? null),
  }
}

function toPartition(
  partition: LayoutPartition,
  { size, label }: { readonly size: Size; readonly label: LayoutDisk['label'] },
): WantedPartition {
  const { number, sizeBytes, name, uuid, attributes, bootable } = partition
  const typeCode = toTypeCode(partition.typeCode, label)
  if (typeCode === undefined) {
    throw malformed(`${JSON.stringify(partition.typeCode)} is no partition type`)
  }
  if (label === 'gpt' && uuid !== '' && toTypeCode(uuid, 'gpt') === undefined) {
    throw malformed(`${JSON.stringify(uuid)} is no partition UUID`)
  }
  const isGpt = label === 'gpt'
  return {
    ...{ number, size, typeCode, sourceSizeBytes: sizeBytes, isKept: false },
    ...{ name: isGpt ? name : '', uuid: isGpt ? uuid.toUpperCase() : '' },
    attributes: isGpt ? attributes : '',
    isBootable: !isGpt && bootable,
    fileSystem: toFileSystem(partition.fileSystem),
  }
}

function toFileSystem(fileSystem: LayoutFileSystem | null): WantedFileSystem | null {
  if (fileSystem === null) return null
  const { type, uuid, label, mountPoint, mountOptions, usedBytes, subvolumes = [] } = fileSystem
  return { type, uuid, label, mountPoint, mountOptions, usedBytes, subvolumes }
}

function toArray({ name, level, metadata, uuid, members, fileSystem }: LayoutArray): WantedArray {
  const known = RAID_LEVELS.find((word) => `raid${word}` === level)
  if (known === undefined) throw malformed(`array ${name} is of the unknown level ${level}`)
  return {
    ...{ name, level: known, uuid, members },
    // Of the old kinds (0.90, imsm, ddf) nothing is lost that a new machine would need.
    metadata: RAID_METADATA.find((version) => version === metadata) ?? '1.2',
    fileSystem: toFileSystem(fileSystem),
  }
}

function toVolumeGroup(group: LayoutVolumeGroup): WantedVolumeGroup {
  const { name, members, volumes, sizeBytes, freeBytes } = group
  const isFull = freeBytes < sizeBytes * FULL_GROUP_FRACTION
  const last = volumes.findLast(({ fileSystem }) => isGrowable(fileSystem))
  const sizeOf = (volume: (typeof volumes)[number]): Size => {
    if (!isGrowable(volume.fileSystem)) return { kind: 'fixed', bytes: volume.sizeBytes }
    if (isFull && volume === last) return { kind: 'rest' }
    if (isFull) return { kind: 'fixed', bytes: volume.sizeBytes }
    // What was left free stays free in proportion.
    const percent = Math.round((1000 * volume.sizeBytes) / Math.max(1, sizeBytes)) / 10
    return { kind: 'percent', percent: Math.min(100, Math.max(0.1, percent)) }
  }
  return {
    ...{ name, members },
    volumes: volumes.map((volume) => ({
      ...{ name: volume.name, size: sizeOf(volume), sourceSizeBytes: volume.sizeBytes },
      fileSystem: toFileSystem(volume.fileSystem),
    })),
  }
}

function malformed(what: string): SiError {
  return new SiError('ERR_SI_MANIFEST_FORMAT', `Cannot use disk layout: ${what}`)
}
