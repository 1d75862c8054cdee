// What a deployment will do, as a value: made before anything is written, shown to people, confirmed, and
// then carried out as it stands. Plain JSON, so that programs can read it too.
import { formatSize } from '../core/core.ts'
import type { DiskPlan } from './disks/disk-plan.ts'
import { formatDiskPlan } from './disks/format-disk-plan.ts'

export interface PlannedImage {
  readonly name: string
  readonly version: string
  readonly contentBytes: number
  readonly entryCount: number
}

export type { DiskPlan } from './disks/disk-plan.ts'

export interface DirectoryPlan {
  readonly kind: 'root'
  readonly image: PlannedImage
  readonly directory: string
  readonly freeBytes: number
  readonly resumes: boolean
  readonly notes: readonly string[]
  /** What is done before anything is written. */
  readonly before?: readonly string[]
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
  const { before = [], finishing = [] } = plan
  if (before.length > 0) lines.push('First:', ...before.map((step) => `  ${step}`))
  if (plan.kind === 'root') {
    lines.push(`Fill ${plan.directory} (${formatSize(plan.freeBytes)} free)`)
  } else lines.push(...formatDiskPlan(plan))
  if (finishing.length > 0) lines.push('Then:', ...finishing.map((step) => `  ${step}`))
  return [...lines, ...plan.notes.map((note) => `Note: ${note}`)].join('\n')
}
