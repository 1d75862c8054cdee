// A disk as the target. Invariants: nothing on it changes before `prepare`; one process at a time works
// on it; when `close` has returned nothing of it is mounted.
import { constants } from 'node:fs'
import { mkdir, open, type FileHandle } from 'node:fs/promises'
import { basename } from 'node:path'
import { messageOf, SiError } from '../../core/core.ts'
import {
  flock,
  makeFileSystem,
  partitionDisk,
  partitionPath,
  readBlockDevice,
  readDiskUses,
  readPartitionTable,
  readSignature,
  showPartitions,
  type BlockDevice,
  type PartitionTable,
} from '../../host/host.ts'
import { checkPrerequisites } from './disk-prerequisites.ts'
import { formatDiskScript } from './disk-script.ts'
import { openJournal, readJournalOwner, type Journal } from '../journal.ts'
import {
  byMountPoint,
  type MadeDisk,
  type MadeFileSystem,
  type MadeStorage,
} from '../made-storage.ts'
import { checkMountPoints } from './mount-points.ts'
import { mountTree, unmountLeftovers, type MountedTree } from './mounted-tree.ts'
import { BIOS_BOOT_TYPE, EFI_SYSTEM_TYPE } from './partition-type.ts'
import { planDisk } from './plan-disk.ts'
import type { DiskPlan } from '../plan.ts'
import { measureUsage } from './space.ts'
import { plannedImage, type ImageFacts, type PreparedTarget, type Target } from '../target.ts'

/** Locks and mount points of running deployments; gone after a boot, as they are. */
const RUN_DIRECTORY = '/run/swarmimager'

/** Throws ERR_SI_TARGET_UNSUITABLE or ERR_SI_TARGET_BUSY; then the disk is as it was. */
export async function openDiskTarget(
  path: string,
  image: ImageFacts,
  options: { readonly dryRun: boolean; readonly signal: AbortSignal },
): Promise<Target> {
  const device = await inspect(path, image.header.name)
  const lock = await lockDisk(device)
  const mountPrefix = `${RUN_DIRECTORY}/${basename(device.path)}.`
  try {
    if (!options.dryRun) await unmountLeftovers(mountPrefix)
    await refuseUsed(device, image.header.name)
    const fresh = await planFor(device, image, options.signal)
    await checkPrerequisites(fresh)
    const mountAll = (plan: DiskPlan, signal: AbortSignal) =>
      mountTree({ disk: device.path, partitions: plan.partitions, prefix: mountPrefix, signal })
    const resumes =
      !options.dryRun &&
      isPlanned(fresh, fresh.existing.table) &&
      (await holdsJournal(fresh, image, { mountAll, signal: options.signal }))
    return createTarget({ ...fresh, resumes }, { image, lock, mountAll })
  } catch (error) {
    await lock.close()
    throw error
  }
}

type MountAll = (plan: DiskPlan, signal: AbortSignal) => Promise<MountedTree>

function createTarget(
  plan: DiskPlan,
  own: { readonly image: ImageFacts; readonly lock: FileHandle; readonly mountAll: MountAll },
): Target {
  let tree: MountedTree | undefined
  let journal: Journal | undefined
  return {
    plan,
    async prepare(signal): Promise<PreparedTarget> {
      if (!plan.resumes) await erase(plan, signal)
      tree = await own.mountAll(plan, signal)
      journal = await openJournal(tree.directory, own.image)
      const storage = await readStorage(plan, signal)
      return { directory: tree.directory, fileSystems: tree.mountPoints, journal, storage }
    },
    async close() {
      await journal?.close()
      await tree?.close()
      await own.lock.close()
    },
  }
}

/** Partitions the disk and makes the file systems; what was on it is gone. */
async function erase(plan: DiskPlan, signal: AbortSignal): Promise<void> {
  const expected = plan.partitions
  await partitionDisk(plan.device, formatDiskScript(plan), { expected, signal })
  for (const { number, fileSystem } of plan.partitions) {
    if (fileSystem === null) continue
    const { type, uuid, label, minimumInodes } = fileSystem
    const inodes = minimumInodes === null ? {} : { minimumInodes }
    const device = partitionPath(plan.device, number)
    await makeFileSystem(device, { type, uuid, label, ...inodes, signal })
  }
}

/** What is on the disk now, be it made or found. */
async function readStorage(plan: DiskPlan, signal: AbortSignal): Promise<MadeStorage> {
  const fileSystems: MadeFileSystem[] = []
  for (const { number, fileSystem } of plan.partitions) {
    if (fileSystem === null) continue
    const device = partitionPath(plan.device, number)
    const { type, mountPoint, mountOptions } = fileSystem
    const { uuid = '', label = '' } = (await readSignature(device, undefined, signal)) ?? {}
    fileSystems.push({ device, type, uuid, label, mountPoint, mountOptions })
  }
  const ofType = (typeCode: string) =>
    plan.partitions
      .filter((partition) => partition.typeCode === typeCode)
      .map(({ number }) => partitionPath(plan.device, number))
  const disk: MadeDisk = {
    ...{ device: plan.device, label: 'gpt' },
    hasBiosBootPartition: ofType(BIOS_BOOT_TYPE).length > 0,
    efiPartitions: ofType(EFI_SYSTEM_TYPE),
  }
  fileSystems.sort(byMountPoint)
  return { disks: [disk], fileSystems, arrays: [], volumeGroups: [], encrypted: [] }
}

async function planFor(
  device: BlockDevice,
  image: ImageFacts,
  signal: AbortSignal,
): Promise<DiskPlan> {
  const { header, table, spillBytes } = image
  const layout = header.layout
  const mountPoints = (layout?.disks ?? []).flatMap(({ partitions }) =>
    partitions.flatMap(({ fileSystem }) => fileSystem?.mountPoint ?? []),
  )
  const existing = {
    table: await readPartitionTable(device, signal),
    signature: await readSignature(device.path, undefined, signal),
  }
  checkMountPoints(table, mountPoints)
  const usage = measureUsage(table, mountPoints)
  return planDisk({ image: plannedImage(header), layout, device, existing, usage, spillBytes })
}

/** Whether the disk has exactly the partitions and file systems that the plan would make. */
export function isPlanned(plan: DiskPlan, table: PartitionTable | null): boolean {
  if (table?.label !== 'gpt' || table.partitions.length !== plan.partitions.length) return false
  return plan.partitions.every((planned) => {
    const found = table.partitions.find(({ number }) => number === planned.number)
    if (found === undefined) return false
    const { type = '', uuid = '' } = found.signature ?? {}
    const isSameSystem =
      planned.fileSystem === null ||
      (planned.fileSystem.type === type &&
        (planned.fileSystem.uuid === '' || sameUuid(planned.fileSystem.uuid, uuid)))
    return (
      found.startBytes === planned.startBytes &&
      found.sizeBytes === planned.sizeBytes &&
      isSameSystem
    )
  })
}

function sameUuid(a: string, b: string): boolean {
  return a.replace('-', '').toLowerCase() === b.replace('-', '').toLowerCase()
}

/** Looks into a disk that is partitioned as planned; one that cannot be mounted is simply made anew. */
async function holdsJournal(
  plan: DiskPlan,
  image: ImageFacts,
  how: { readonly mountAll: MountAll; readonly signal: AbortSignal },
): Promise<boolean> {
  const root = plan.partitions.filter(({ fileSystem }) => fileSystem?.mountPoint === '/')
  await showPartitions(plan.device, { expected: plan.partitions, signal: how.signal })
  const tree = await how
    .mountAll({ ...plan, partitions: root }, how.signal)
    .catch((error: unknown) => {
      if (how.signal.aborted) throw error
      return undefined
    })
  if (tree === undefined) return false
  try {
    return (await readJournalOwner(tree.directory)) === image.infoHash
  } finally {
    await tree.close()
  }
}

async function inspect(path: string, imageName: string): Promise<BlockDevice> {
  const device = await readBlockDevice(path).catch((error: unknown) => {
    throw unsuitable(path, imageName, { why: messageOf(error) })
  })
  if (device.kind === 'other') {
    throw unsuitable(path, imageName, { why: 'it is no block device', hint: 'Name a disk' })
  }
  if (device.kind === 'partition') {
    const hint = 'Name the whole disk, such as /dev/sda'
    throw unsuitable(path, imageName, { why: 'it is a partition', hint })
  }
  if (device.isReadOnly) throw unsuitable(path, imageName, { why: 'it is read-only' })
  if (device.sizeBytes === 0) throw unsuitable(path, imageName, { why: 'it has no medium' })
  return device
}

async function refuseUsed(device: BlockDevice, imageName: string): Promise<void> {
  const uses = await readDiskUses(device)
  if (uses.length === 0) return
  const hint = 'Choose another disk, or unmount it'
  throw unsuitable(device.path, imageName, { why: `it is ${uses.join(', ')}`, hint })
}

function unsuitable(
  path: string,
  imageName: string,
  { why, hint }: { readonly why: string; readonly hint?: string },
): SiError {
  const message = `Cannot deploy image "${imageName}" to ${path}: ${why}`
  return new SiError('ERR_SI_TARGET_UNSUITABLE', message, { hint })
}

async function lockDisk(device: BlockDevice): Promise<FileHandle> {
  await mkdir(RUN_DIRECTORY, { recursive: true, mode: 0o700 })
  const path = `${RUN_DIRECTORY}/${basename(device.path)}.lock`
  const file = await open(path, constants.O_RDWR | constants.O_CREAT, 0o600)
  if (flock(file.fd, 'exclusive')) return file
  await file.close()
  throw new SiError('ERR_SI_TARGET_BUSY', `Another deployment is writing to ${device.path}`, {
    hint: 'Wait until it has ended',
  })
}
