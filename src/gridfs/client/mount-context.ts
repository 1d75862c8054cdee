// What the handlers of a mounted grid file system share.
import { type NodeTable } from './node-table.ts'
import { type PendingWrites } from './pending-writes.ts'
import { type Volume } from './volume.ts'

export interface MountBehaviour {
  /** How long the kernel answers for names and attributes by itself; the server tells of changes before. */
  readonly validMs: number
}

export interface Mount {
  readonly server: Volume
  readonly nodes: NodeTable
  readonly writes: PendingWrites
  readonly options: MountBehaviour
  readonly openFiles: Map<number, OpenFile>
  /** Nodes of which a process has locked ranges. */
  readonly locked: Set<number>
  /** A number for what is opened next. */
  readonly nextHandle: () => number
}

export interface OpenFile {
  readonly nodeId: number
  readonly reference: Buffer
  readonly flags: number
  hasWritten: boolean
}
