// What the planners of disks, layers and file systems share: what is asked for, what is placed so far, and
// how they refuse.
import { SiError } from '../../core/core.ts'
import type { PlannedImage } from '../plan.ts'
import type { TargetDisk } from './disk-plan.ts'
import type { Layout } from './layout.ts'
import type { TreeUsage } from './space.ts'

export interface PlanOptions {
  readonly image: PlannedImage
  readonly layout: Layout
  /** One for each disk of the layout, in its order. */
  readonly disks: readonly TargetDisk[]
  /** What the image will occupy below each mount point. */
  readonly usage: ReadonlyMap<string, TreeUsage>
  /** Room for compressed pieces on the root file system while the deployment lasts. */
  readonly spillBytes: number
}

/** A device of the layout as it will be. */
export interface Placed {
  readonly path: string
  readonly sizeBytes: number
  readonly isKept: boolean
}

export interface Planning extends PlanOptions {
  readonly needBytes: (name: string) => number
  /** By name in the layout. */
  readonly devices: Map<string, Placed>
  readonly notes: string[]
}

export function refusal({ image }: Pick<PlanOptions, 'image'>, target: string) {
  return (why: string, hint?: string) =>
    new SiError(
      'ERR_SI_TARGET_UNSUITABLE',
      `Cannot deploy image "${image.name}" to ${target}: ${why}`,
      { hint },
    )
}
