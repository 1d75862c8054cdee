// A torrent from a path or over HTTP. Invariant: never more than MAX_TORRENT_BYTES are read, whoever
// answers; with TLS asked for, nobody is asked but an image server of our authority.
import { once } from 'node:events'
import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { request } from 'node:https'
import { isSiError, messageOf, SiError, throwIfAborted } from '../core/core.ts'
import type { PeerSecurity } from '../swarm/swarm.ts'
import { parseMetainfo, type Metainfo } from '../torrent/torrent.ts'

/** 20 bytes of SHA-1 for each of three million pieces; no image comes near. */
const MAX_TORRENT_BYTES = 64 * 2 ** 20

/** A server that is there answers sooner. */
const HTTP_TIMEOUT_MS = 30_000

export interface LoadOptions {
  readonly signal?: AbortSignal | undefined
  /** With it, a URL has to lead to an image server that shows its certificate. */
  readonly security?: PeerSecurity | undefined
}

/**
 * Reads and parses a torrent. Throws ERR_SI_TORRENT_UNAVAILABLE when it cannot be had,
 * ERR_SI_TORRENT_FORMAT when it is no torrent, ERR_SI_ABORTED.
 */
export async function loadTorrent(source: string, how: LoadOptions = {}): Promise<Metainfo> {
  const isUrl = /^https?:\/\//i.test(source)
  const bytes = isUrl ? await fetchBytes(source, how) : await readBytes(source)
  try {
    return parseMetainfo(bytes)
  } catch (error) {
    if (!isSiError(error)) throw error
    throw new SiError(error.code, `${source}: ${error.message}`, {
      hint: error.hint,
      cause: error,
    })
  }
}

async function readBytes(path: string): Promise<Uint8Array> {
  try {
    // A named pipe that nobody writes to is opened at once, too, and found out.
    await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
    const info = await file.stat()
    if (!info.isFile()) throw new Error('it is no file')
    if (info.size > MAX_TORRENT_BYTES) throw new Error('it is too large for a torrent')
    return await file.readFile()
  } catch (error) {
    throw unavailable(path, messageOf(error), 'Check the path')
  }
}

async function fetchBytes(url: string, { signal, security }: LoadOptions): Promise<Uint8Array> {
  const timeout = AbortSignal.timeout(HTTP_TIMEOUT_MS)
  const either = signal === undefined ? timeout : AbortSignal.any([signal, timeout])
  try {
    if (security !== undefined && !(isPlain(url) && security.allowsPlain)) {
      return await fetchSecurely(url, security, either)
    }
    const response = await fetch(url, { signal: either })
    if (!response.ok) {
      await response.body?.cancel()
      throw new Error(`the server answered ${response.status} ${response.statusText}`)
    }
    return await readBody(response)
  } catch (error) {
    throwIfAborted(signal)
    const reason = error instanceof Error && error.cause instanceof Error ? error.cause : error
    throw unavailable(url, messageOf(reason), 'Check the address and that the server is running')
  }
}

function isPlain(url: string): boolean {
  return /^http:/i.test(url)
}

async function fetchSecurely(
  url: string,
  { credentials }: PeerSecurity,
  signal: AbortSignal,
): Promise<Uint8Array> {
  if (isPlain(url)) throw new Error('it is not https, which --tls asks for')
  const asking = request(url, { ...credentials.callOptions(), agent: false, signal }).end()
  asking.on('error', () => {}) // after the response has begun, whoever reads it finds out
  const [response] = (await once(asking, 'response')) as [IncomingMessage]
  if (response.statusCode === 200) return readBody({ body: response })
  const text = Buffer.from(await readBody({ body: response })).toString()
  throw new Error(`the server answered ${response.statusCode ?? 0} ${text.slice(0, 300)}`)
}

async function readBody(response: {
  readonly body: AsyncIterable<Uint8Array> | null
}): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  let sizeBytes = 0
  for await (const part of response.body ?? []) {
    sizeBytes += part.length
    if (sizeBytes > MAX_TORRENT_BYTES) throw new Error('it is too large for a torrent')
    parts.push(part)
  }
  return Buffer.concat(parts, sizeBytes)
}

function unavailable(source: string, reason: string, hint: string): SiError {
  return new SiError('ERR_SI_TORRENT_UNAVAILABLE', `Cannot read torrent ${source}: ${reason}`, {
    hint,
  })
}
