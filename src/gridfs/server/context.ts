// What the handlers of a server are given: one export as one client uses it.
import { type LockTable } from '../lock-table.ts'
import { type Push } from '../wire/message.ts'
import {
  type WireCaller,
  type WireName,
  type WireReplyOf,
  type WireRequestOf,
} from '../wire/operations.ts'
import { type MirrorMember } from './mirror-handlers.ts'
import { type ObjectTable } from './object-table.ts'
import { type OpenFiles } from './open-files.ts'
import { type Orphans } from './orphans.ts'
import { type Turns } from './turns.ts'

export interface ServerContext {
  readonly objects: ObjectTable
  readonly files: OpenFiles
  readonly locks: LockTable
  readonly orphans: Orphans
  /** Of all clients of the export. */
  readonly turns: Turns
  readonly mirror: MirrorMember
  /** Tells the other clients of the export. */
  readonly tell: (push: Push) => void
  /** Names the client among the owners of locks. */
  readonly client: string
  readonly verifier: Uint8Array
  /** Whom a caller is here: ids as they are, or all the same. */
  readonly mapCaller: (caller: WireCaller) => WireCaller
  /** Aborted when the request is cancelled, or its client is gone. */
  readonly signal: AbortSignal
}

export interface Data {
  /** What the request ends with. */
  readonly request: readonly Buffer[]
  /** What the reply is to end with. */
  reply: readonly Uint8Array[]
  /** An earlier process may have carried out the request: how things were before (see recovery.ts). */
  readonly before: Buffer | undefined
}

export type ServerHandler<Name extends WireName> = (
  context: ServerContext,
  request: WireRequestOf<Name>,
  data: Data,
) => WireReplyOf<Name> | Promise<WireReplyOf<Name>>

/** All but what begins a session. */
export type ServerHandlers = {
  readonly [Name in Exclude<WireName, 'hello'>]: ServerHandler<Name>
}
