// What a connection is made of.
import { type Socket } from 'node:net'
import { type SecureContext } from 'node:tls'
import { type Clock } from '../../core/core.ts'
import { type InfoHash } from '../../torrent/torrent.ts'
import { type Endpoint } from '../discovery/candidates.ts'
import { type WireLimits } from '../wire/wire.ts'
import { type ConnectionOwner } from './connection.ts'
import { type IntakeSlots } from './intake.ts'
import { type Guarded } from './peer-guard.ts'

/** How a connection reads: into one buffer, or where that cannot be had, in chunks. */
export interface SocketReader {
  readonly onread: { readonly buffer: Buffer; readonly callback: (bytes: number) => boolean }
  readonly onChunk: (chunk: Buffer) => void
}

export interface TcpMessageOptions extends WireLimits {
  readonly slab: IntakeSlots | undefined
}

/** A connection that waits for the verdict on the other side. */
export interface TlsParty extends Guarded {
  letIn(): void
}

/** Of the connections of one thread that are to use TLS. */
export interface TlsTerms {
  /** The newest. */
  readonly context: () => SecureContext
  /** Who calls us may also do so without. */
  readonly allowsPlain: boolean
  /** The other side has shown these (DER, its own first): letIn() or close() is to be called. Throwing closes. */
  readonly onCertificates: (connection: TlsParty, certificates: readonly Uint8Array[]) => void
  readonly onGone: (connection: TlsParty) => void
}

export interface TcpSetup extends Endpoint {
  readonly isOutgoing: boolean
  readonly owner: ConnectionOwner
  readonly clock: Clock
  /** Called once, at once. */
  readonly open: (reader: SocketReader) => Socket
  /** For connections made to us: what they begin with may be encrypted. */
  readonly infoHashes?: (() => Iterable<InfoHash>) | undefined
  /** Left out: no TLS. */
  readonly tls?: TlsTerms | undefined
}
