// The message by which peers tell each other whom they are connected to, and from whom they parted.
// Pure: values to bytes, bytes to values. Invariant: however long a message is, no more is read from it
// than a well-behaved peer would send. Spec: BEP 11 (ut_pex).
import { isSiError, SiError } from '../../core/core.ts'
import { decodeBencode, encodeBencode, type BencodeValue } from '../../torrent/torrent.ts'
import { type Endpoint } from './candidates.ts'
import { decodeCompactPeers, encodeCompactPeer } from './compact-peers.ts'

/** A peer as it is told to others. */
export interface Contact extends Endpoint {
  /** It has all pieces. */
  readonly isComplete: boolean
  /** We connected to it, so others can. */
  readonly isReachable: boolean
}

export interface PeerExchangeMessage {
  readonly added: readonly Contact[]
  readonly dropped: readonly Endpoint[]
}

/** BEP 11: most to tell at once, of added and of dropped peers. */
export const MAX_EXCHANGED = 50

const FLAG_COMPLETE = 0x02
const FLAG_REACHABLE = 0x10

const MAX_MESSAGE_BYTES = 64 * 1024

/** Contacts with a name instead of an address are left out. */
export function encodePeerExchange(message: PeerExchangeMessage): Buffer {
  const added = message.added.flatMap((contact) => {
    const bytes = encodeCompactPeer(contact)
    return bytes === undefined ? [] : [{ bytes, flags: flagsOf(contact) }]
  })
  const dropped = message.dropped.flatMap((endpoint) => encodeCompactPeer(endpoint) ?? [])
  const addedOf = (length: number) => added.filter(({ bytes }) => bytes.length === length)
  const bytesOf = (items: readonly { bytes: Buffer }[]) =>
    Buffer.concat(items.map(({ bytes }) => bytes))
  const flags = (items: readonly { flags: number }[]) => Buffer.from(items.map((one) => one.flags))
  return encodeBencode({
    added: bytesOf(addedOf(6)),
    'added.f': flags(addedOf(6)),
    added6: bytesOf(addedOf(18)),
    'added6.f': flags(addedOf(18)),
    dropped: Buffer.concat(dropped.filter(({ length }) => length === 6)),
    dropped6: Buffer.concat(dropped.filter(({ length }) => length === 18)),
  })
}

function flagsOf(contact: Contact): number {
  return (contact.isComplete ? FLAG_COMPLETE : 0) | (contact.isReachable ? FLAG_REACHABLE : 0)
}

/**
 * The first 50 of each list; missing flags count as none set. Throws ERR_SI_PROTOCOL when it is no
 * dictionary, or a list is cut.
 */
export function decodePeerExchange(payload: Uint8Array): PeerExchangeMessage {
  const fields = decode(payload)
  const added = [...listOf(fields, 'added'), ...listOf(fields, 'added6')]
  const dropped = [...listOf(fields, 'dropped'), ...listOf(fields, 'dropped6')]
  return { added, dropped: dropped.map(({ host, port }) => ({ host, port })) }
}

function listOf(fields: ReadonlyMap<string, BencodeValue>, key: string): Contact[] {
  const list = fields.get(key)
  if (list === undefined) return []
  const addressBytes = key.endsWith('6') ? 16 : 4
  const flags = fields.get(`${key}.f`)
  if (!Buffer.isBuffer(list) || list.length % (addressBytes + 2) !== 0) throw fault(`its ${key}`)
  const count = Math.min(MAX_EXCHANGED, list.length / (addressBytes + 2))
  return Array.from({ length: count }, (_, index) => index).flatMap((index) => {
    const at = index * (addressBytes + 2)
    const [peer] = decodeCompactPeers(list.subarray(at, at + addressBytes + 2), addressBytes) ?? []
    if (peer === undefined) return []
    const flag = Buffer.isBuffer(flags) ? (flags[index] ?? 0) : 0
    const isComplete = (flag & FLAG_COMPLETE) !== 0
    return [{ ...peer, isComplete, isReachable: (flag & FLAG_REACHABLE) !== 0 }]
  })
}

function decode(payload: Uint8Array): ReadonlyMap<string, BencodeValue> {
  try {
    const limits = { allowUnsortedKeys: true, maxDepth: 4, maxBytes: MAX_MESSAGE_BYTES }
    const root = decodeBencode(payload, limits)
    if (root instanceof Map) return root as ReadonlyMap<string, BencodeValue>
  } catch (error) {
    if (!isSiError(error, 'ERR_SI_BENCODE')) throw error
  }
  throw fault('it is no dictionary')
}

function fault(what: string): SiError {
  return new SiError('ERR_SI_PROTOCOL', `Peer breaks the protocol: peer exchange: ${what}`)
}
