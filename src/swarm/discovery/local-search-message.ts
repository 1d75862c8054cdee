// The datagram by which a peer calls for others of the same torrent on its network. Pure: values to bytes,
// bytes to values. Invariant: whatever arrives is read or ignored, never an error. Spec: BEP 14.
import { type InfoHash } from '../../torrent/torrent.ts'

export interface LocalSearch {
  /** Where the sender listens for peers, at the address that the datagram comes from. */
  readonly port: number
  readonly infoHashes: readonly InfoHash[]
  /** Tells the sender its own datagrams when they come back; undefined when it gave none. */
  readonly cookie: string | undefined
}

/** BEP 14: what fits an Ethernet frame. */
const MAX_DATAGRAM_BYTES = 1400

/** More do not fit. */
const MAX_INFO_HASHES = 25

const METHOD = 'BT-SEARCH * HTTP/1.1'

/** `groupHost` is the multicast address with its port, IPv6 in brackets. */
export function encodeLocalSearch(search: LocalSearch, groupHost: string): Buffer {
  const lines = [
    METHOD,
    `Host: ${groupHost}`,
    `Port: ${search.port}`,
    ...search.infoHashes.map((infoHash) => `Infohash: ${infoHash}`),
    ...(search.cookie === undefined ? [] : [`cookie: ${search.cookie}`]),
  ]
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n\r\n`, 'latin1')
}

/** undefined when it is no search, or one that cannot be followed. */
export function decodeLocalSearch(datagram: Buffer): LocalSearch | undefined {
  if (datagram.length > MAX_DATAGRAM_BYTES) return undefined
  const [method, ...lines] = datagram.toString('latin1').split(/\r?\n/)
  if (method !== METHOD) return undefined
  const fields = lines.flatMap((line) => {
    const [, name = '', value = ''] = /^([\w-]+)\s*:\s*(.*?)\s*$/.exec(line) ?? []
    return name === '' ? [] : [{ name: name.toLowerCase(), value }]
  })
  const valueOf = (name: string) => fields.find((field) => field.name === name)?.value
  const port = valueOf('port') ?? ''
  const isPort = /^\d{1,5}$/.test(port) && Number(port) >= 1 && Number(port) <= 65535
  const infoHashes = fields
    .filter(({ name, value }) => name === 'infohash' && /^[0-9a-f]{40}$/i.test(value))
    .map(({ value }) => value.toLowerCase() as InfoHash)
  if (!isPort || infoHashes.length === 0) return undefined
  return {
    ...{ port: Number(port), infoHashes: infoHashes.slice(0, MAX_INFO_HASHES) },
    cookie: valueOf('cookie'),
  }
}
