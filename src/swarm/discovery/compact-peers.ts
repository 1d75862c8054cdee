// Addresses of peers as trackers and peers write them: 4 or 16 bytes of address, 2 of port, all in one
// string. Pure. Also: which addresses are worth telling or trying at all. Spec: BEP 7, 11, 23.
import { isIPv4, isIPv6 } from 'node:net'
import { type Endpoint } from './candidates.ts'

export type AddressBytes = 4 | 16

const PORT_BYTES = 2

/** Bytes → endpoints; those with port 0 are left out. undefined when the length does not fit. */
export function decodeCompactPeers(
  bytes: Buffer,
  addressBytes: AddressBytes,
): Endpoint[] | undefined {
  const sizeBytes = addressBytes + PORT_BYTES
  if (bytes.length % sizeBytes !== 0) return undefined
  const peers: Endpoint[] = []
  for (let at = 0; at < bytes.length; at += sizeBytes) {
    const port = bytes.readUInt16BE(at + addressBytes)
    const address = bytes.subarray(at, at + addressBytes)
    if (port > 0) peers.push({ host: formatAddress(address), port })
  }
  return peers
}

function formatAddress(address: Buffer): string {
  if (address.length === 4) return address.join('.')
  const groups = Array.from({ length: 8 }, (_, index) => address.readUInt16BE(index * 2))
  const text = groups.map((group) => group.toString(16)).join(':')
  return new URL(`http://[${text}]`).hostname.slice(1, -1)
}

/** One endpoint → 6 or 18 bytes; undefined when its host is a name, or an address with a zone. */
export function encodeCompactPeer({ host, port }: Endpoint): Buffer | undefined {
  const address = parseAddress(host)
  if (address === undefined) return undefined
  return Buffer.concat([address, Buffer.of(port >> 8, port & 0xff)])
}

function parseAddress(host: string): Buffer | undefined {
  if (isIPv4(host)) return Buffer.from(host.split('.').map(Number))
  if (!isIPv6(host) || host.includes('%')) return undefined
  // The URL parser writes the last four bytes as groups, too, when they were given in dots.
  const [left = '', right] = new URL(`http://[${host}]`).hostname.slice(1, -1).split('::')
  const groupsOf = (text: string) => (text === '' ? [] : text.split(':'))
  const before = groupsOf(left)
  const after = groupsOf(right ?? '')
  const zeros = new Array<string>(8 - before.length - after.length).fill('0')
  const groups = [...before, ...zeros, ...after]
  return Buffer.from(groups.map((group) => group.padStart(4, '0')).join(''), 'hex')
}

/**
 * Whether `host`, an address that the peer at `teller` told us or that we would tell it, can mean a
 * machine other than the listener's own: no name, no multicast, "any", or zone; loopback only among
 * peers that are on loopback themselves.
 */
export function isWorthTelling(host: string, teller: string): boolean {
  if (isIPv4(host)) {
    const first = Number(host.split('.')[0])
    return first !== 0 && first < 224 && (first !== 127 || isLoopback(teller))
  }
  if (!isIPv6(host) || /^(?:::$|ff|fe80:|::ffff:)|%/i.test(host)) return false
  return host !== '::1' || isLoopback(teller)
}

/** Reaches this very machine only. */
export function isLoopback(host: string): boolean {
  return host === '::1' || (isIPv4(host) && host.startsWith('127.'))
}
