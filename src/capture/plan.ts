// From what the probe found to what will be captured. Pure.
import { join } from 'node:path'
import { SiError } from '../core/core.ts'
import type { DiskLayout, HeaderFacts } from '../image/image.ts'
import { buildExcludes } from './excludes.ts'
import type { RuleText } from './filter-rules.ts'
import { buildLayout, hasEfiSystemPartition } from './layout.ts'
import { chooseMounts, relativeToRoot, type CapturedMounts } from './mounts.ts'
import type { ProbeFacts } from './probe.ts'

type PlannedFacts = 'source' | 'boot' | 'layout' | 'fstab' | 'excludes'

/** What will be captured, and what the image's header will say of it. */
export interface CapturePlan extends Pick<HeaderFacts, PlannedFacts> {
  readonly facts: ProbeFacts
  readonly captured: CapturedMounts
  readonly notes: readonly string[]
}

export interface PlanOptions {
  readonly root: string
  readonly rules: readonly RuleText[]
  readonly useDefaultExcludes: boolean
  /** Captured besides those on disks, relative to the root: `/srv/nfs`. */
  readonly mountPoints: readonly string[]
  /** Left out when it lies inside the tree; null when it is on another machine. */
  readonly repositoryDirectory: string | null
}

export function planCapture(facts: ProbeFacts, options: PlanOptions): CapturePlan {
  const removable = facts.devices?.nodes.filter(({ isRemovable }) => isRemovable) ?? []
  const devices = new Set(removable.map(({ device }) => device))
  const asked = new Set(options.mountPoints.map(checkMountPoint(facts)))
  const captured = chooseMounts(facts.mounts, devices, asked)
  // What was asked for is captured as plain files: it is on no disk that a target could have.
  const own = chooseMounts(facts.mounts, devices)
  const { layout, notes } = buildLayout({ ...facts, mounts: own.mounts })
  const swapFiles = facts.swaps.filter(({ isFile }) => isFile)
  const images =
    options.repositoryDirectory === null
      ? undefined
      : relativeToRoot(join(options.repositoryDirectory, 'images'), options.root)
  return {
    facts,
    captured,
    excludes: buildExcludes({
      useDefaults: options.useDefaultExcludes,
      rules: options.rules,
      mountPoints: captured.mountPoints,
      paths: [
        ...captured.duplicates.map((path) => ({ path, contentOnly: true })),
        ...swapFiles.map(({ path }) => ({ path, contentOnly: false })),
        ...(images === undefined ? [] : [{ path: images, contentOnly: false }]),
      ],
    }),
    source: {
      host: facts.host,
      operatingSystem: facts.operatingSystem,
      architecture: facts.architecture,
      kernel: facts.kernel,
    },
    boot: { method: bootMethod(facts, layout, options.root === '/') },
    layout,
    fstab: facts.fstab,
    notes: [
      ...notes,
      ...swapFiles.map(({ path }) => `Swap file ${path} is left out: create it anew on targets`),
    ],
  }
}

function checkMountPoint({ mounts }: ProbeFacts): (text: string) => string {
  return (text) => {
    const path = text.replace(/(?<=.)\/+$/, '')
    if (mounts.some(({ mountPoint }) => mountPoint === path)) return path
    throw new SiError('ERR_SI_USAGE', `Cannot capture ${text} too: nothing is mounted there`, {
      hint: 'Name a mount point of the golden client, seen from the root of the tree',
    })
  }
}

/** A running machine tells by its firmware; a tree only by the partitions below it. */
function bootMethod(
  facts: ProbeFacts,
  layout: DiskLayout | null,
  isMachine: boolean,
): 'bios' | 'uefi' | 'none' {
  if (facts.hasEfiFirmware || (!isMachine && hasEfiSystemPartition(layout))) return 'uefi'
  const isPc = /^(?:x86_64|i[3-6]86)$/.test(facts.architecture)
  return isPc && (isMachine || layout !== null) ? 'bios' : 'none'
}
