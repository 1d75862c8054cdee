// One announce to one HTTP tracker: the question as a URL, the answer as values. Pure but for the
// request itself; the answer is bounded. Spec: BEP 3, 7 (peers6), 23 (compact).
import { request as httpRequest } from 'node:http'
import { request as httpsRequest, type RequestOptions } from 'node:https'
import { isSiError, messageOf, SiError } from '../../core/core.ts'
import { decodeBencode, type BencodeValue, type InfoHash } from '../../torrent/torrent.ts'
import { type PeerSecurity } from '../connection/peer-guard.ts'
import { type Endpoint } from './candidates.ts'
import { decodeCompactPeers, type AddressBytes } from './compact-peers.ts'

export interface Announce {
  readonly infoHash: InfoHash
  /** 20 characters of latin1. */
  readonly peerId: string
  readonly port: number
  readonly uploadedBytes: number
  readonly downloadedBytes: number
  readonly leftBytes: number
  /** undefined for the regular one in between. */
  readonly event: 'started' | 'completed' | 'stopped' | undefined
  /** Peers wished for. */
  readonly peersWanted: number
  /** Tells the tracker who we are when our address changes. */
  readonly key: string
  /** What other peers should call us at, when that is not where the request comes from. */
  readonly address: string | undefined
  /** Where we stand; a tracker that knows racks prefers neighbours of the same. */
  readonly rack: string | undefined
}

export interface AnnounceReply {
  readonly intervalMs: number
  readonly minIntervalMs: number | undefined
  readonly peers: readonly Endpoint[]
  readonly warning: string | undefined
}

const TIMEOUT_MS = 10_000

/** Room for thousands of peers. */
const MAX_REPLY_BYTES = 2 ** 20

/** Announce URL and question → URL. Throws ERR_SI_TRACKER when it is no http or https URL. */
export function announceUrl(tracker: string, announce: Announce): URL {
  const url = URL.parse(tracker)
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw new SiError('ERR_SI_TRACKER', `Cannot announce to "${tracker}": not an http URL`)
  }
  const binary = (bytes: Buffer) => [...bytes].map(percent).join('')
  const fields = [
    `info_hash=${binary(Buffer.from(announce.infoHash, 'hex'))}`,
    `peer_id=${binary(Buffer.from(announce.peerId, 'latin1'))}`,
    `port=${announce.port}`,
    `uploaded=${announce.uploadedBytes}`,
    `downloaded=${announce.downloadedBytes}`,
    `left=${announce.leftBytes}`,
    'compact=1',
    `numwant=${announce.peersWanted}`,
    `key=${announce.key}`,
    ...(announce.event === undefined ? [] : [`event=${announce.event}`]),
    ...(announce.address === undefined ? [] : [`ip=${encodeURIComponent(announce.address)}`]),
    ...(announce.rack === undefined ? [] : [`rack=${encodeURIComponent(announce.rack)}`]),
  ]
  url.search = (url.search === '' ? '?' : `${url.search}&`) + fields.join('&')
  return url
}

function percent(byte: number): string {
  const char = String.fromCharCode(byte)
  return /[A-Za-z0-9._~-]/.test(char) ? char : `%${byte.toString(16).padStart(2, '0')}`
}

/** Bytes of an answer → values. Throws ERR_SI_TRACKER; its message is the tracker's own, if it sent one. */
export function parseAnnounceReply(bytes: Uint8Array): AnnounceReply {
  const root = decodeReply(bytes)
  const failure = root.get('failure reason')
  if (Buffer.isBuffer(failure)) throw fault(printable(failure))
  const interval = root.get('interval')
  if (typeof interval !== 'number' || interval < 0) throw fault('its answer has no interval')
  const minInterval = root.get('min interval')
  const warning = root.get('warning message')
  const isUsable = typeof minInterval === 'number' && minInterval >= 0
  return {
    intervalMs: interval * 1000,
    minIntervalMs: isUsable ? minInterval * 1000 : undefined,
    peers: [...parsePeers(root.get('peers')), ...parseCompact(root.get('peers6'), 16)],
    warning: Buffer.isBuffer(warning) ? printable(warning) : undefined,
  }
}

function decodeReply(bytes: Uint8Array): ReadonlyMap<string, BencodeValue> {
  try {
    const root = decodeBencode(bytes, { allowUnsortedKeys: true, maxBytes: MAX_REPLY_BYTES })
    if (root instanceof Map) return root as ReadonlyMap<string, BencodeValue>
  } catch (error) {
    if (!isSiError(error, 'ERR_SI_BENCODE')) throw error
  }
  throw fault('its answer is not that of a tracker')
}

function parsePeers(value: BencodeValue | undefined): Endpoint[] {
  if (!Array.isArray(value)) return parseCompact(value, 4)
  return (value as readonly BencodeValue[]).flatMap((item) => {
    if (!(item instanceof Map)) return []
    const fields = item as ReadonlyMap<string, BencodeValue>
    const [ip, port] = [fields.get('ip'), fields.get('port')]
    const isUsable = Buffer.isBuffer(ip) && /^[\w.:-]{1,255}$/.test(ip.toString('latin1'))
    if (!isUsable || typeof port !== 'number' || port < 1 || port > 65535) return []
    return [{ host: ip.toString('latin1'), port }]
  })
}

function parseCompact(value: BencodeValue | undefined, addressBytes: AddressBytes): Endpoint[] {
  if (value === undefined) return []
  const peers = Buffer.isBuffer(value) ? decodeCompactPeers(value, addressBytes) : undefined
  if (peers === undefined) throw fault('its list of peers is cut')
  return peers
}

/** Asks a tracker. Throws ERR_SI_TRACKER for whatever goes wrong, also after 10 s without an answer. */
export type SendAnnounce = (
  tracker: string,
  announce: Announce,
  signal: AbortSignal,
) => Promise<AnnounceReply>

/** For a swarm without TLS: what an https tracker shows is compared with the system's authorities. */
export const sendAnnounce: SendAnnounce = (tracker, announce, signal) =>
  ask(announceUrl(tracker, announce), {}, signal)

/** For a swarm with TLS: only image servers of our authorities are told who we are. */
export function createSecureAnnounce({ credentials, allowsPlain }: PeerSecurity): SendAnnounce {
  return (tracker, announce, signal) => {
    const url = announceUrl(tracker, announce)
    if (url.protocol === 'https:') return ask(url, credentials.callOptions(), signal)
    if (allowsPlain) return ask(url, {}, signal)
    const what = 'it does not use TLS, which this swarm asks for'
    return Promise.reject(
      new SiError('ERR_SI_TRACKER', `Cannot announce to ${url.origin}: ${what}`),
    )
  }
}

async function ask(url: URL, how: RequestOptions, signal: AbortSignal): Promise<AnnounceReply> {
  try {
    return parseAnnounceReply(await fetchBytes(url, how, signal))
  } catch (error) {
    const reason = error instanceof SiError ? error.message : reasonOf(error)
    throw new SiError('ERR_SI_TRACKER', `Cannot announce to ${url.origin}: ${reason}`, {
      cause: error,
    })
  }
}

/** A refused connection to a name with several addresses has its reason one level down. */
function reasonOf(error: unknown): string {
  const inner = error instanceof AggregateError ? (error.errors as unknown[])[0] : error
  return messageOf(inner)
}

function fetchBytes(url: URL, how: RequestOptions, signal: AbortSignal): Promise<Buffer> {
  const send = url.protocol === 'https:' ? httpsRequest : httpRequest
  return new Promise((resolve, reject) => {
    const deadline = setTimeout(
      () => request.destroy(fault(`no answer within ${TIMEOUT_MS / 1000} s`)),
      TIMEOUT_MS,
    )
    deadline.unref()
    const headers = { 'user-agent': 'SwarmImager/0.1', connection: 'close' }
    const request = send(url, { ...how, agent: false, signal, headers }, (response) => {
      const parts: Buffer[] = []
      let totalBytes = 0
      response.on('data', (part: Buffer) => {
        totalBytes += part.length
        parts.push(part)
        if (totalBytes > MAX_REPLY_BYTES) request.destroy(fault('its answer is too long'))
      })
      response.on('error', reject)
      response.on('end', () => {
        if (response.statusCode === 200) resolve(Buffer.concat(parts))
        else reject(fault(`HTTP status ${response.statusCode ?? 0}`))
      })
    })
    request.on('error', reject)
    request.on('close', () => clearTimeout(deadline))
    request.end()
  })
}

function printable(text: Buffer): string {
  return text
    .toString('utf8')
    .replace(/\p{Cc}/gu, '?')
    .slice(0, 200)
}

function fault(what: string): SiError {
  return new SiError('ERR_SI_TRACKER', what)
}
