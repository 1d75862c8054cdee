// What carries calls out for a mount: one server, or several that stand for one. References and positions
// in a folder that a volume gives are its own; handles are numbered by whoever calls.
import { type Credentials } from '../../pki/pki.ts'
import { type Caller } from '../fuse/file-system.ts'
import { type Push } from '../wire/message.ts'
import { type WireName, type WireReplyOf, type WireRequestOf } from '../wire/operations.ts'
import { type MemberState } from './link-state.ts'
import { type KeptSession } from './session-slots.ts'

export interface Answer<Name extends WireName> {
  readonly reply: WireReplyOf<Name>
  readonly data: readonly Buffer[]
}

export interface CallOptions {
  /** What the request ends with; must not change until the call has settled. */
  readonly data?: readonly Uint8Array[]
  /** The caller's, when left out. */
  readonly signal?: AbortSignal
  /** The request of the kernel that this is part of: when it comes again, it takes effect once. */
  readonly caller?: Caller
  /**
   * The kernel is to be answered ahead. Called when the call will be carried out though this process ends;
   * until then it may fail. Without it the kernel is answered after the call has settled.
   */
  readonly onKept?: () => void
  /** Of a change of a mirror: the time at which it happens, in nanoseconds. */
  readonly stampNs?: bigint
}

export interface Volume {
  /** What was said first. Rejects with ERR_SI_FORBIDDEN, ERR_SI_UNTRUSTED when we are not let in. */
  readonly ready: Promise<WireReplyOf<'hello'>>
  /** Throws a FuseError with the errno, ETIMEDOUT when a server was away too long; ERR_SI_ABORTED. */
  call<Name extends WireName>(
    name: Name,
    request: WireRequestOf<Name>,
    options?: CallOptions,
  ): Promise<Answer<Name>>
  /** Whether calls wait for a server that is away; without patience they fail with ENOTCONN. */
  setPatience(isPatient: boolean): void
  /** Of each server. */
  state(): readonly MemberState[]
  close(): void
}

export interface VolumeOptions {
  readonly credentials: Credentials
  /** How long calls wait for a server that is away; Infinity: until their callers give up. */
  readonly softMs: number
  /** What outlives this process; nothing: a mount of this volume ends with it. */
  readonly kept: KeptSession | undefined
  readonly onPush: (push: Push) => void
  /** A server does not know the session: what is open must be told before anything else. */
  readonly openFiles: () => WireRequestOf<'reclaim'>['open']
  readonly onLost: (handles: readonly number[]) => void
  /** A line for the log: connected, gone, refused. */
  readonly onNote: (text: string) => void
}
