// A connection to a peer as the swarm sees it, wherever its socket lives. Invariant: whoever holds one
// never learns which implementation it has. Spec: BEP 3.
import { SiError, type Clock } from '../../core/core.ts'
import { type Endpoint } from '../discovery/candidates.ts'
import { type Handshake } from '../wire/handshake.ts'
import { type SlotPlace } from '../pieces/block-table.ts'
import { type PeerSink } from './intake.ts'
import { type Slab } from '../pieces/slab.ts'
import { type FileSpan } from '../pieces/store.ts'
import { type UploadBuffer } from '../pieces/upload-buffers.ts'
import { type BlockRange, type WireLimits, type WireMessage } from '../wire/wire.ts'

export interface ConnectionOwner {
  /** The other side said who it is. Throwing a SiError closes the connection. */
  onHandshake(handshake: Handshake): void
  /** Called exactly once; `error` is undefined when the other side just hung up. */
  onClose(error: Error | undefined): void
}

/** A part of an upload buffer; a piece message begins with it if there is a head. */
export interface PayloadPart {
  readonly head: BlockRange | undefined
  readonly fromBytes: number
  readonly lengthBytes: number
}

export interface SendOptions {
  /** False: the rest of a piece message follows with the next call; no message may come between. */
  readonly endsMessage: boolean
  /**
   * The kernel has all of it, or it can never be sent; until then the buffer must not change, and the files must
   * stay open. With an error, a file could not be read: the connection is of no use any more and to be closed.
   */
  readonly onSent: (error?: Error) => void
}

export interface MessageOptions extends WireLimits {
  /** Where payload goes; undefined when none will be asked for. */
  readonly slab: Slab | undefined
}

export interface Connection {
  readonly isOutgoing: boolean
  /** `host:port` of the other side; IPv6 in brackets. */
  readonly address: string
  /** IP address of the other side; the name that was dialled until it has answered. */
  readonly remoteHost: string
  readonly isClosed: boolean
  /** How long nothing has come. */
  readonly silentMs: number
  /** How long nothing was sent. */
  readonly unsentMs: number
  /** Where events go from now on: the listener hands a connection to its torrent this way. */
  setOwner(owner: ConnectionOwner): void
  /** Messages that follow the handshake go to `sink`; before this, nothing but a handshake is read. */
  startMessages(sink: PeerSink, options: MessageOptions): void
  sendHandshake(handshake: Handshake): void
  /** Sends messages as one write; when a part of a piece message was sent, after its end. */
  send(...messages: readonly WireMessage[]): void
  /** Sends a request. What comes of it is written into `place`; without one it is thrown away. */
  request(range: BlockRange, place: SlotPlace | undefined): void
  /** Sends piece messages, or parts of one, as one write. */
  sendPayload(buffer: UploadBuffer, parts: readonly PayloadPart[], options: SendOptions): void
  /** Sends a piece message, or a part of one, that begins with `head` if there is one, out of open files. */
  sendFiles(head: BlockRange | undefined, spans: readonly FileSpan[], options: SendOptions): void
  /** Closes at once; what is unsent is lost. Nothing is received any more. Idempotent. */
  close(error?: Error): void
}

/** Connects to a peer; failure is told by `owner.onClose`. `onConnect` may send the handshake. */
export type Dial = (
  endpoint: Endpoint,
  owner: ConnectionOwner,
  options: { readonly clock: Clock; readonly onConnect: () => void },
) => Connection

/** `host:port`, IPv6 addresses in brackets. */
export function formatEndpoint(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

/** An IPv4 address that an IPv6 socket was reached at is written as IPv4. */
export function plainAddress(address: string | undefined): string | undefined {
  return address?.replace(/^::ffff:(?=\d+\.)/, '')
}

/** `host:port` or `[v6]:port` → parts. Throws ERR_SI_USAGE. */
export function parseEndpoint(text: string): Endpoint {
  const match = /^(?:\[([0-9a-f:.%a-z]+)\]|([^:[\]]+)):(\d{1,5})$/i.exec(text.trim())
  const host = match?.[1] ?? match?.[2]
  const port = Number(match?.[3])
  if (host === undefined || port < 1 || port > 65535) {
    throw new SiError('ERR_SI_USAGE', `Cannot read "${text}" as the address of a peer`, {
      hint: 'Write host:port, such as 10.0.0.7:6881 or [fd00::7]:6881',
    })
  }
  return { host, port }
}
