// What a deployment fills: a directory, or the partitions of a disk. Checked and planned first, written
// to only after `prepare`, released whatever happens.
import type { ManifestHeader } from '../image/image.ts'
import type { InfoHash } from '../torrent/torrent.ts'
import type { EntryTable } from './entry-table.ts'
import type { Firmware } from './finish/firmware.ts'
import type { Journal } from './journal.ts'
import type { MadeStorage } from './made-storage.ts'
import type { DeployPlan, PlannedImage } from './plan.ts'

/** What a target must know of the image to be planned. */
export interface ImageFacts {
  readonly header: ManifestHeader
  readonly table: EntryTable
  readonly infoHash: InfoHash
  readonly pieceCount: number
  /** Compressed pieces that do not fit the memory and go to the target while it is filled. */
  readonly spillBytes: number
  /** What the target is to boot by; absent: nothing. */
  readonly firmware?: Firmware
}

/** A target that was inspected and found suitable; nothing on it has changed yet. */
export interface Target {
  readonly plan: DeployPlan
  /** From here on the target is written to. */
  prepare(signal: AbortSignal): Promise<PreparedTarget>
  /** Idempotent; also after a failed `prepare`. */
  close(): Promise<void>
}

/** A place for the tree, with the journal of this image open in it. */
export interface PreparedTarget {
  /** Root of the tree to make. */
  readonly directory: string
  /** One directory per file system of the tree, the root's first. */
  readonly fileSystems: readonly string[]
  readonly journal: Journal
  /** Null: a directory. */
  readonly storage: MadeStorage | null
}

export function plannedImage(header: ManifestHeader): PlannedImage {
  const { name, version, contentBytes, entryCount } = header
  return { name, version, contentBytes, entryCount }
}
