// From the golden client's layout and one disk to a DiskPlan; pure. The partitions of the one disk that
// carried the root are kept in number, order, type, name and UUID; the last growable one is fitted to
// the disk. Whatever cannot be done is refused here, before anything is written.
import { formatSize, SiError } from '../../core/core.ts'
import { MAKEABLE_FILE_SYSTEMS } from '../../host/host.ts'
import type { BlockDevice, MakeableFileSystem } from '../../host/host.ts'
import type {
  DiskLayout,
  LayoutDisk,
  LayoutFileSystem,
  LayoutPartition,
} from '../../image/image.ts'
import type { DiskPlan, PlannedFileSystem, PlannedImage, PlannedPartition } from '../plan.ts'
import { chooseInodes, minimumPartitionBytes, type TreeUsage } from './space.ts'
import { toGptType } from './partition-type.ts'

const ALIGNMENT_BYTES = 2 ** 20

/** File systems whose size follows the disk. */
const GROWABLE = new Set(['ext2', 'ext3', 'ext4', 'xfs', 'btrfs'])

/** Contents that only make sense together with others: `what` to say of them. */
const COMPOUND: Readonly<Record<string, string>> = {
  LVM2_member: 'LVM',
  linux_raid_member: 'software RAID',
  crypto_LUKS: 'disk encryption (LUKS)',
  zfs_member: 'ZFS',
  bcache: 'bcache',
}

export interface PlanDiskOptions {
  readonly image: PlannedImage
  readonly layout: DiskLayout | null
  readonly device: BlockDevice
  readonly existing: DiskPlan['existing']
  /** What the image will occupy below each mount point. */
  readonly usage: ReadonlyMap<string, TreeUsage>
  /** Room for compressed pieces on the root file system while the deployment lasts. */
  readonly spillBytes: number
}

/** Throws ERR_SI_TARGET_UNSUITABLE, or ERR_SI_MANIFEST_FORMAT for values no layout may have. */
export function planDisk(options: PlanDiskOptions): DiskPlan {
  const { image, device } = options
  const refuse = (why: string, hint?: string) =>
    new SiError(
      'ERR_SI_TARGET_UNSUITABLE',
      `Cannot deploy image "${image.name}" to ${device.path}: ${why}`,
      { hint },
    )
  const source = chooseSourceDisk(options.layout, refuse)
  const notes: string[] = []
  const kept = [...source.partitions]
    .sort((a, b) => a.startBytes - b.startBytes)
    .filter((partition) => !isExtendedContainer(source, partition))
  const growable = kept.findLast(({ fileSystem }) => isGrowable(fileSystem))
  const sized = fitToDisk(kept, { ...options, growable, refuse })
  let startBytes = ALIGNMENT_BYTES
  const partitions = sized.map(({ partition, sizeBytes }) => {
    const planned = planPartition(partition, {
      source,
      startBytes,
      sizeBytes,
      options,
      notes,
      refuse,
    })
    startBytes += sizeBytes
    return planned
  })
  if (source.label === 'dos') notes.push('the msdos partition table becomes GPT')
  return {
    kind: 'disk',
    image,
    device: device.path,
    diskBytes: device.sizeBytes,
    sectorBytes: device.sectorBytes,
    resumes: false,
    existing: options.existing,
    partitions,
    notes,
  }
}

type Refuse = (why: string, hint?: string) => SiError

function chooseSourceDisk(layout: DiskLayout | null, refuse: Refuse): LayoutDisk {
  if (layout === null) {
    throw refuse('it was captured from a directory and has no disk layout', 'Use --root instead')
  }
  const carries = (disk: LayoutDisk, test: (fs: LayoutFileSystem) => boolean) =>
    disk.partitions.some(({ fileSystem }) => fileSystem !== null && test(fileSystem))
  const source = layout.disks.find((disk) => carries(disk, (fs) => fs.mountPoint === '/'))
  const compounds = layout.disks.flatMap((disk) =>
    disk.partitions.flatMap(({ fileSystem }) => COMPOUND[fileSystem?.type ?? ''] ?? []),
  )
  if (compounds.length > 0 && (source === undefined || isCompound(source))) {
    throw refuse(`its golden client uses ${[...new Set(compounds)].join(', ')}, not supported yet`)
  }
  if (source === undefined) throw refuse('its layout has no partition for the root file system')
  const isUsed = (fs: LayoutFileSystem) => fs.mountPoint !== null || fs.type === 'swap'
  const used = layout.disks.filter((disk) => disk === source || carries(disk, isUsed))
  if (used.length > 1) {
    const names = used.map(({ name }) => name).join(', ')
    throw refuse(`its golden client uses several disks (${names}), only one is supported yet`)
  }
  return source
}

function isCompound(disk: LayoutDisk): boolean {
  return disk.partitions.some(({ fileSystem }) => COMPOUND[fileSystem?.type ?? ''] !== undefined)
}

function isExtendedContainer(disk: LayoutDisk, partition: LayoutPartition): boolean {
  return disk.label === 'dos' && /^(0x)?(0?5|0?f|85)$/i.test(partition.typeCode)
}

function isGrowable(fileSystem: LayoutFileSystem | null): boolean {
  return fileSystem !== null && fileSystem.mountPoint !== null && GROWABLE.has(fileSystem.type)
}

interface SizedPartition {
  readonly partition: LayoutPartition
  readonly sizeBytes: number
}

/** Sizes in whole MiB; the backup GPT takes less than one of them at the end. */
function fitToDisk(
  partitions: readonly LayoutPartition[],
  how: PlanDiskOptions & {
    readonly growable: LayoutPartition | undefined
    readonly refuse: Refuse
  },
): readonly SizedPartition[] {
  const { device, growable } = how
  const usableBytes = alignDown(device.sizeBytes - ALIGNMENT_BYTES) - ALIGNMENT_BYTES
  const minimum = (partition: LayoutPartition) => {
    const { mountPoint = null, type = '', usedBytes = 0 } = partition.fileSystem ?? {}
    const usage = mountPoint === null ? undefined : how.usage.get(mountPoint)
    const spillBytes = mountPoint === '/' ? how.spillBytes : 0
    return alignUp(minimumPartitionBytes({ type, usedBytes, usage, spillBytes }))
  }
  const fixedSize = (partition: LayoutPartition) =>
    Math.max(
      alignUp(partition.sizeBytes),
      isGrowable(partition.fileSystem) ? minimum(partition) : 0,
    )
  const fixed = partitions.filter((partition) => partition !== growable)
  const fixedBytes = fixed.reduce((sum, partition) => sum + fixedSize(partition), 0)
  const neededBytes = fixedBytes + (growable === undefined ? 0 : minimum(growable))
  if (neededBytes > usableBytes) {
    const needs = formatSize(neededBytes + 2 * ALIGNMENT_BYTES)
    throw how.refuse(
      `disk holds ${formatSize(device.sizeBytes)}, image needs ${needs}`,
      'Choose a larger disk',
    )
  }
  return partitions.map((partition) => ({
    partition,
    sizeBytes: partition === growable ? usableBytes - fixedBytes : fixedSize(partition),
  }))
}

interface PartitionContext {
  readonly source: LayoutDisk
  readonly startBytes: number
  readonly sizeBytes: number
  readonly options: PlanDiskOptions
  readonly notes: string[]
  readonly refuse: Refuse
}

function planPartition(partition: LayoutPartition, context: PartitionContext): PlannedPartition {
  const { source, startBytes, sizeBytes } = context
  const { number, name, attributes } = partition
  const isGpt = source.label === 'gpt'
  if (!/^[\w:, ]*$/.test(attributes)) throw malformed('partition attributes', attributes)
  return {
    number,
    startBytes,
    sizeBytes,
    sourceSizeBytes: partition.sizeBytes,
    typeCode: isGpt ? guid(partition.typeCode, 'partition type') : toGptType(partition.typeCode),
    name: isGpt ? name : '',
    uuid: isGpt && partition.uuid !== '' ? guid(partition.uuid, 'partition UUID') : '',
    attributes: isGpt
      ? attributes
          .trim()
          .split(/[\s,]+/)
          .join(',')
      : '',
    fileSystem: planFileSystem(partition, context),
  }
}

function planFileSystem(
  partition: LayoutPartition,
  context: PartitionContext,
): PlannedFileSystem | null {
  const { fileSystem, number } = partition
  if (fileSystem === null) return null
  const { type, mountPoint, mountOptions, label, uuid } = fileSystem
  if (!isMakeable(type)) {
    if (mountPoint !== null)
      throw context.refuse(`it has ${type} on ${mountPoint}, not supported yet`)
    context.notes.push(`partition ${number} held ${type}; it stays empty`)
    return null
  }
  if (/(^|,)subvol=\/[^,]/.test(fileSystem.mountOptions)) {
    throw context.refuse(`it has a btrfs subvolume on ${mountPoint ?? '?'}, not supported yet`)
  }
  if (mountPoint !== null && !/^\/$|^(\/(?!\.{1,2}(\/|$))[^/\0]+)+$/.test(mountPoint)) {
    throw malformed('mount point', mountPoint)
  }
  const uuidPattern = type === 'vfat' ? /^[0-9A-F]{4}-?[0-9A-F]{4}$/i : GUID
  if (uuid !== '' && !uuidPattern.test(uuid)) throw malformed(`UUID of ${type}`, uuid)
  const usage = mountPoint === null ? undefined : context.options.usage.get(mountPoint)
  const minimumInodes = chooseInodes(type, context.sizeBytes, usage)
  return { type, uuid, label, mountPoint, mountOptions, minimumInodes }
}

function isMakeable(type: string): type is MakeableFileSystem {
  return (MAKEABLE_FILE_SYSTEMS as readonly string[]).includes(type)
}

const GUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

function guid(text: string, what: string): string {
  if (!GUID.test(text)) throw malformed(what, text)
  return text.toUpperCase()
}

function malformed(what: string, value: string): SiError {
  return new SiError(
    'ERR_SI_MANIFEST_FORMAT',
    `Cannot use disk layout: ${JSON.stringify(value)} is no ${what}`,
  )
}

function alignUp(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT_BYTES) * ALIGNMENT_BYTES
}

function alignDown(bytes: number): number {
  return Math.floor(bytes / ALIGNMENT_BYTES) * ALIGNMENT_BYTES
}
