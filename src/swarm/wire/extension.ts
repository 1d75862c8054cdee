// The extension handshake: what a peer calls itself, how many requests it queues, which extensions it
// takes, and, between our own peers, the dictionary `si` with the role and the largest request served.
// Pure. Spec: BEP 10, 11.
import {
  BLOCK_BYTES,
  decodeBencodePrefix,
  encodeBencode,
  type Bencodable,
  type BencodeValue,
} from '../../torrent/torrent.ts'
import { isSiError, SiError } from '../../core/core.ts'

/** `server`: an image server or seeder; `node`: a machine that downloads, or has downloaded. */
export type Role = 'server' | 'node'

export interface OwnExtension {
  readonly role: Role
  readonly maxRequestBytes: number
  /** Id of the message that tells it which pieces one wants; undefined when it does not care. */
  readonly wantId: number | undefined
}

export interface ExtensionHandshake {
  /** Name and version of the program, for people; empty when it did not say. */
  readonly client: string
  /** Requests it keeps waiting; more may be dropped. */
  readonly requestQueue: number
  /** Port it listens on, 0 when it did not say. */
  readonly listenPort: number
  /** Number of the messages of the peer exchange that it takes; 0 when it takes none. */
  readonly peerExchangeId: number
  /** Present for our own peers only. */
  readonly own: OwnExtension | undefined
}

/** The number we give to messages of the peer exchange. */
export const OWN_PEER_EXCHANGE_ID = 1

/** And to the message by which a peer of ours tells what it wants: a bitfield, as in BEP 3. */
export const OWN_WANT_ID = 2

const PEER_EXCHANGE = 'ut_pex'

/** What clients that do not say are known to queue at least (libtorrent's default). */
const DEFAULT_REQUEST_QUEUE = 250

const MAX_CLIENT_CHARACTERS = 64

export function encodeExtensionHandshake(handshake: ExtensionHandshake): Buffer {
  const { own } = handshake
  return encodeBencode({
    m: handshake.peerExchangeId > 0 ? { [PEER_EXCHANGE]: handshake.peerExchangeId } : {},
    ...(handshake.listenPort > 0 ? { p: handshake.listenPort } : {}),
    reqq: handshake.requestQueue,
    ...(own === undefined ? {} : { si: encodeOwn(own) }),
    v: handshake.client,
  })
}

function encodeOwn(own: OwnExtension): Bencodable {
  const { maxRequestBytes: max, role, wantId } = own
  return { max, role, ...(wantId === undefined ? {} : { want: wantId }) }
}

/** Throws ERR_SI_PROTOCOL. Values that make no sense count as not given. */
export function decodeExtensionHandshake(payload: Uint8Array): ExtensionHandshake {
  const root = decode(payload)
  if (!(root instanceof Map)) {
    throw new SiError('ERR_SI_PROTOCOL', 'Peer breaks the protocol: extension handshake')
  }
  const fields = root as ReadonlyMap<string, BencodeValue>
  const client = fields.get('v')
  return {
    client: Buffer.isBuffer(client) ? printable(client) : '',
    requestQueue: within(fields.get('reqq'), 1, 100_000) ?? DEFAULT_REQUEST_QUEUE,
    listenPort: within(fields.get('p'), 1, 65535) ?? 0,
    peerExchangeId: messageId(fields.get('m'), PEER_EXCHANGE),
    own: ownFields(fields.get('si')),
  }
}

function decode(payload: Uint8Array): BencodeValue {
  try {
    return decodeBencodePrefix(payload, { allowUnsortedKeys: true, maxDepth: 8 }).value
  } catch (error) {
    if (!isSiError(error, 'ERR_SI_BENCODE')) throw error
    throw new SiError('ERR_SI_PROTOCOL', `Peer breaks the protocol: ${error.message}`, {
      cause: error,
    })
  }
}

function ownFields(value: BencodeValue | undefined): ExtensionHandshake['own'] {
  if (!(value instanceof Map)) return undefined
  const fields = value as ReadonlyMap<string, BencodeValue>
  const role = fields.get('role')
  const isServer = Buffer.isBuffer(role) && role.toString('latin1') === 'server'
  const maxRequestBytes = within(fields.get('max'), BLOCK_BYTES, 2 ** 31) ?? BLOCK_BYTES
  const wantId = within(fields.get('want'), 1, 255)
  return { role: isServer ? 'server' : 'node', maxRequestBytes, wantId }
}

function messageId(value: BencodeValue | undefined, name: string): number {
  const ids = value instanceof Map ? (value as ReadonlyMap<string, BencodeValue>) : undefined
  return within(ids?.get(name), 1, 255) ?? 0
}

function within(value: BencodeValue | undefined, low: number, high: number): number | undefined {
  return typeof value === 'number' && value >= low && value <= high ? value : undefined
}

function printable(text: Buffer): string {
  return text
    .toString('utf8')
    .replace(/\p{Cc}|\ufffd/gu, '?')
    .slice(0, MAX_CLIENT_CHARACTERS)
}
