// Whether disks hold an interrupted deployment of this very image, made by this very plan. Looked at only when the
// partition tables are those of the plan; whatever cannot be assembled or mounted is simply made anew.
import type { PartitionTable } from '../../host/host.ts'
import { readJournalOwner } from '../journal.ts'
import type { ImageFacts } from '../target.ts'
import { assembleStorage, closeStorage } from './build-storage.ts'
import type { DiskPlan, PlannedDisk } from './disk-plan.ts'
import type { MountedTree } from './mounted-tree.ts'

export type MountAll = (plan: DiskPlan, signal: AbortSignal) => Promise<MountedTree>

/** Whether every disk has exactly the partitions and file systems that the plan would make. */
export function isPlanned(plan: DiskPlan): boolean {
  return plan.disks.every((disk) =>
    disk.label === 'none'
      ? disk.existing.table === null && disk.existing.signature !== null
      : hasTable(disk, plan, disk.existing.table),
  )
}

function hasTable(disk: PlannedDisk, plan: DiskPlan, table: PartitionTable | null): boolean {
  const { partitions, label } = disk
  if (table?.label !== label || table.partitions.length !== partitions.length) return false
  return partitions.every((planned) => {
    const found = table.partitions.find(({ number }) => number === planned.number)
    if (found?.startBytes !== planned.startBytes || found.sizeBytes !== planned.sizeBytes) {
      return false
    }
    const fileSystem = plan.fileSystems.find(({ device }) => device === planned.device)
    if (fileSystem === undefined) return true
    const { type = '', uuid = '' } = found.signature ?? {}
    return fileSystem.type === type && (fileSystem.uuid === '' || sameUuid(fileSystem.uuid, uuid))
  })
}

function sameUuid(a: string, b: string): boolean {
  return a.replace('-', '').toLowerCase() === b.replace('-', '').toLowerCase()
}

/** Assembles what is there, mounts the root, and looks into its journal. Leaves nothing assembled. */
export async function holdsJournal(
  plan: DiskPlan,
  image: ImageFacts,
  how: { readonly mountAll: MountAll; readonly signal: AbortSignal },
): Promise<boolean> {
  const isRoot = (mountPoint: string | null) => mountPoint === '/'
  const root = plan.fileSystems
    .filter(
      ({ mountPoint, subvolumes }) =>
        isRoot(mountPoint) || subvolumes.some((one) => isRoot(one.mountPoint)),
    )
    .map((one) => ({ ...one, subvolumes: one.subvolumes.filter((sub) => isRoot(sub.mountPoint)) }))
  try {
    await assembleStorage(plan, how.signal)
    const tree = await how.mountAll({ ...plan, fileSystems: root }, how.signal)
    try {
      return (await readJournalOwner(tree.directory)) === image.infoHash
    } finally {
      await tree.close()
    }
  } catch (error) {
    if (how.signal.aborted) throw error
    return false
  } finally {
    await closeStorage(plan)
  }
}
