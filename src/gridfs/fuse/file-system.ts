// What a file system is to the kernel: a function for each operation that it has. The kernel is told of
// one that is missing (ENOSYS) and answers itself from then on, or fails the call.
import { type Forgotten } from './control-operations.ts'
import { type Capability, type KernelOffer } from './handshake.ts'
import { type FieldsOf, type OperationName, type ReplyOf } from './request.ts'

/** Who calls, and a way to learn that the caller was interrupted. */
export interface Caller {
  readonly uid: number
  readonly gid: number
  /** 0 when the kernel itself asks. */
  readonly pid: number
  /** Aborted when a signal interrupts the caller; the operation may then fail with EINTR. */
  readonly signal: AbortSignal
  /** The request had been read before; perhaps it was carried out, and only the reply is missing. */
  readonly isResent: boolean
  /** The number of the request, the same when it is resent. */
  readonly unique: bigint
  /** Calls back when the kernel has its answer: the request will not come again. */
  onAnswered(callback: () => void): void
}

export type Handler<Name extends OperationName> = (
  nodeId: number,
  fields: FieldsOf<Name>,
  caller: Caller,
) => Promise<ReplyOf<Name>> | ReplyOf<Name>

/** Handlers run at the same time. Names and data of a request are valid until its handler settles. */
export type FuseHandlers = { readonly [Name in OperationName]?: Handler<Name> }

export interface FuseFileSystem {
  readonly handlers: FuseHandlers
  /** The kernel's count of lookups of these nodes shrinks; a node with none may be dropped. */
  forget(forgotten: readonly Forgotten[]): void
  /** Called before each answer: what was promised must survive this process from then on. */
  beforeAnswer?(): void
  /** Which optional behaviour of the kernel is wanted; what it does not offer is left out. */
  capabilities(offer: KernelOffer): readonly Capability[]
}

/** The node of the root folder, which is never looked up. */
export const ROOT_NODE_ID = 1
