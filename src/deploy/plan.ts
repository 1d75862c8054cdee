// What a deployment will do, as a value: made before anything is written, shown to people, confirmed, and
// then carried out as it stands. Plain JSON, so that programs can read it too.
import type { MakeableFileSystem, PartitionTable, Signature } from '../host/host.ts'
import { formatSize } from '../core/core.ts'

export interface PlannedImage {
  readonly name: string
  readonly version: string
  readonly contentBytes: number
  readonly entryCount: number
}

export interface PlannedFileSystem {
  readonly type: MakeableFileSystem
  /** Empty: whatever mkfs chooses. */
  readonly uuid: string
  readonly label: string
  readonly mountPoint: string | null
  /** As for fstab. */
  readonly mountOptions: string
  /** Given where mkfs would by default make too few. */
  readonly minimumInodes: number | null
}

export interface PlannedPartition {
  readonly number: number
  readonly startBytes: number
  readonly sizeBytes: number
  /** What it measured on the golden client. */
  readonly sourceSizeBytes: number
  /** GPT partition type GUID. */
  readonly typeCode: string
  readonly name: string
  /** GPT partition GUID; empty: sfdisk chooses. */
  readonly uuid: string
  readonly attributes: string
  /** Null: the partition stays empty. */
  readonly fileSystem: PlannedFileSystem | null
}

export interface DiskPlan {
  readonly kind: 'disk'
  readonly image: PlannedImage
  readonly device: string
  readonly diskBytes: number
  readonly sectorBytes: number
  /** True: an interrupted deployment of the same image goes on; nothing is destroyed. */
  readonly resumes: boolean
  /** What is on the disk now and will be lost. */
  readonly existing: { readonly table: PartitionTable | null; readonly signature: Signature | null }
  /** In the order of the disk. */
  readonly partitions: readonly PlannedPartition[]
  readonly notes: readonly string[]
  /** What is done when the tree is complete. */
  readonly finishing?: readonly string[]
}

export interface DirectoryPlan {
  readonly kind: 'root'
  readonly image: PlannedImage
  readonly directory: string
  readonly freeBytes: number
  readonly resumes: boolean
  readonly notes: readonly string[]
  /** What is done when the tree is complete. */
  readonly finishing?: readonly string[]
}

export type DeployPlan = DiskPlan | DirectoryPlan

/** The plan for people: what will be destroyed, what created. */
export function formatPlan(plan: DeployPlan): string {
  const { name, version, contentBytes, entryCount } = plan.image
  const lines = [
    `Image ${name} ${version}: ${entryCount} entries, ${formatSize(contentBytes)} of data`,
  ]
  if (plan.resumes) lines.push('An interrupted deployment of this image goes on; nothing is erased')
  if (plan.kind === 'root') {
    lines.push(`Fill ${plan.directory} (${formatSize(plan.freeBytes)} free)`)
  } else {
    if (!plan.resumes) lines.push(...formatDestroyed(plan))
    lines.push(`Create on ${plan.device} (${formatSize(plan.diskBytes)}, GPT):`)
    lines.push(...plan.partitions.map(formatPartition))
  }
  const { finishing = [] } = plan
  if (finishing.length > 0) lines.push('Then:', ...finishing.map((step) => `  ${step}`))
  return [...lines, ...plan.notes.map((note) => `Note: ${note}`)].join('\n')
}

function formatDestroyed(plan: DiskPlan): readonly string[] {
  const { table, signature } = plan.existing
  if (table === null && signature === null) return [`${plan.device} holds nothing that is known`]
  const lines = [`DESTROY everything on ${plan.device}:`]
  if (signature !== null) lines.push(`  the whole device: ${formatSignature(signature)}`)
  for (const partition of table?.partitions ?? []) {
    const name = partition.name === '' ? '' : ` ${JSON.stringify(partition.name)}`
    const size = formatSize(partition.sizeBytes)
    const content = formatSignature(partition.signature)
    lines.push(`  partition ${partition.number}${name}, ${size}: ${content}`)
  }
  return lines
}

function formatSignature(signature: Signature | null): string {
  if (signature === null) return 'nothing that is known'
  const label = signature.label === '' ? '' : ` ${JSON.stringify(signature.label)}`
  return `${signature.type}${label}${signature.uuid === '' ? '' : ` (${signature.uuid})`}`
}

function formatPartition(partition: PlannedPartition): string {
  const { number, sizeBytes, sourceSizeBytes, fileSystem } = partition
  const name = partition.name === '' ? '' : ` ${JSON.stringify(partition.name)}`
  const change = sizeBytes === sourceSizeBytes ? '' : ` (was ${formatSize(sourceSizeBytes)})`
  const parts = [`  partition ${number}${name}, ${formatSize(sizeBytes)}${change}:`]
  if (fileSystem === null) parts.push('left empty')
  else {
    parts.push(fileSystem.type)
    if (fileSystem.label !== '') parts.push(JSON.stringify(fileSystem.label))
    if (fileSystem.mountPoint !== null) parts.push(`for ${fileSystem.mountPoint}`)
  }
  return parts.join(' ')
}
