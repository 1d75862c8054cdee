// The first 68 bytes of a connection: which torrent, who, and which extensions. Pure.
// Spec: BEP 3; reserved bits BEP 6 (fast) and BEP 10 (extension protocol).
import { asBuffer, SiError } from '../../core/core.ts'
import { parseInfoHash, type InfoHash } from '../../torrent/torrent.ts'

export const HANDSHAKE_BYTES = 68

/** How every plain greeting begins. */
export const PROTOCOL = Buffer.from('\x13BitTorrent protocol', 'latin1')
const EXTENSION_BYTE = 20 + 5
const EXTENSION_BIT = 0x10
const FAST_BYTE = 20 + 7
const FAST_BIT = 0x04

export interface Handshake {
  readonly infoHash: InfoHash
  /** 20 bytes as latin1 text, so that ids compare with ===. */
  readonly peerId: string
  readonly supportsFast: boolean
  readonly supportsExtensions: boolean
}

export function encodeHandshake(handshake: Handshake): Buffer {
  const bytes = Buffer.alloc(HANDSHAKE_BYTES)
  PROTOCOL.copy(bytes)
  if (handshake.supportsExtensions) bytes[EXTENSION_BYTE] = EXTENSION_BIT
  if (handshake.supportsFast) bytes[FAST_BYTE] = FAST_BIT
  bytes.write(handshake.infoHash, 28, 'hex')
  bytes.write(handshake.peerId, 48, 'latin1')
  return bytes
}

/** `bytes` are exactly 68. Throws ERR_SI_PROTOCOL when it is another protocol, encrypted perhaps. */
export function decodeHandshake(bytes: Uint8Array): Handshake {
  const buffer = asBuffer(bytes)
  if (buffer.length !== HANDSHAKE_BYTES || !buffer.subarray(0, 20).equals(PROTOCOL)) {
    throw new SiError('ERR_SI_PROTOCOL', 'Peer does not speak the BitTorrent protocol')
  }
  return {
    infoHash: parseInfoHash(buffer.toString('hex', 28, 48)),
    peerId: buffer.toString('latin1', 48, 68),
    supportsExtensions: ((buffer[EXTENSION_BYTE] ?? 0) & EXTENSION_BIT) !== 0,
    supportsFast: ((buffer[FAST_BYTE] ?? 0) & FAST_BIT) !== 0,
  }
}

const CLIENT = '-SI'

/** Whether the id says that it is a peer of ours; anybody can say so. */
export function isOwnPeerId(peerId: string): boolean {
  return peerId.startsWith(CLIENT)
}

/** A fresh id in the customary form: `-SI0100-` and 12 random characters. */
export function createPeerId(random: () => number): string {
  const letters = '0123456789abcdefghijklmnopqrstuvwxyz'
  const tail = Array.from({ length: 12 }, () => letters[Math.floor(random() * letters.length)])
  return `${CLIENT}0100-${tail.join('')}`
}

/** The customary first characters of an id, `-TR3000-`, for clients that do not say their name. */
export function clientOfId(peerId: string): string {
  return /^-[A-Za-z~]{2}[0-9A-Za-z.]{4}-/.exec(peerId)?.[0].slice(1, -1) ?? 'unknown'
}
