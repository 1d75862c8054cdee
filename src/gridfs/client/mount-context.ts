// What the handlers of a mounted grid file system share.
import { type MountState } from './mount-state.ts'
import { type NodeTable } from './node-table.ts'
import { type PendingWrites } from './pending-writes.ts'
import { type UnsyncedWrites } from './unsynced-writes.ts'
import { type Volume } from './volume.ts'

export interface MountBehaviour {
  /** How long the kernel answers for names and attributes by itself; the server tells of changes before. */
  readonly validMs: number
}

export interface Mount {
  readonly server: Volume
  readonly nodes: NodeTable
  readonly state: MountState
  readonly writes: PendingWrites
  readonly unsynced: UnsyncedWrites
  readonly options: MountBehaviour
  /** The handle that a request which comes again was given before. */
  readonly handleOf: (unique: bigint) => number | undefined
}
