// Part of a file from a web server. Invariant: not a byte is handed on unless the server says that it
// answers this very range of a file of this very length; what it sends beyond is never read. A server
// that ignores ranges is refused before its body begins. Spec: RFC 9110 §14, BEP 19.
import {
  Agent as HttpAgent,
  request as httpRequest,
  type ClientRequest,
  type IncomingMessage,
} from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import { errnoOf, SiError, type Clock } from '../../core/core.ts'

export interface HttpRange {
  readonly url: URL
  readonly offsetBytes: number
  readonly lengthBytes: number
  /** Of the whole file, as the torrent says. */
  readonly fileBytes: number
}

export interface HttpRangeClient {
  /**
   * Asks for a range; resolves when the answer has begun and is as it should be. Its body waits, held
   * back by TCP, until it is read. Throws ERR_SI_PROTOCOL, a system error, or AbortError by signal.
   */
  open(range: HttpRange, signal: AbortSignal): Promise<RangeBody>
  /** Hangs up. Idempotent. */
  close(): void
}

export interface RangeBody {
  /**
   * Hands the body on as it comes; resolves when all of it has. To be called once. Fragments are valid
   * during the call only.
   */
  read(onFragment: (fragment: Uint8Array) => void): Promise<void>
}

/** A mirror may send us on to another, and that one to a store. */
const MAX_REDIRECTS = 3

/** No answer, or no byte of it, for this long: somebody else is asked. */
const SILENCE_MS = 10_000

/** Connections are kept open and used again; `maxConnections` of them at a time. */
export function createHttpRangeClient(options: {
  readonly maxConnections: number
  readonly clock: Clock
}): HttpRangeClient {
  const { clock } = options
  const agentOptions = { keepAlive: true, maxSockets: options.maxConnections }
  const agents = { http: new HttpAgent(agentOptions), https: new HttpsAgent(agentOptions) }
  const send = (range: HttpRange, signal: AbortSignal): ClientRequest => {
    const { url, offsetBytes, lengthBytes } = range
    const headers = {
      range: `bytes=${offsetBytes}-${offsetBytes + lengthBytes - 1}`,
      'accept-encoding': 'identity',
      'user-agent': 'SwarmImager/0.1',
    }
    return url.protocol === 'https:'
      ? httpsRequest(url, { agent: agents.https, headers, signal })
      : httpRequest(url, { agent: agents.http, headers, signal })
  }
  return {
    async open(range, signal) {
      let current = range
      for (let redirects = 0; ; redirects++) {
        const response = await answerOf(() => send(current, signal), clock)
        const next = redirectOf(response, current.url)
        if (next === undefined) return checkedBody(response, range, clock)
        response.destroy()
        if (redirects === MAX_REDIRECTS) throw fault('it redirects again and again')
        current = { ...range, url: next }
      }
    },
    close() {
      agents.http.destroy()
      agents.https.destroy()
    },
  }
}

/** A connection that the server closes while it is used again says nothing about the server. */
async function answerOf(send: () => ClientRequest, clock: Clock): Promise<IncomingMessage> {
  const request = send()
  try {
    return await responseTo(request, clock)
  } catch (error) {
    if (!request.reusedSocket || errnoOf(error) !== 'ECONNRESET') throw error
    return responseTo(send(), clock)
  }
}

function responseTo(request: ClientRequest, clock: Clock): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const cancel = clock.schedule(SILENCE_MS, () => request.destroy(silenceFault()))
    request.on('response', (response) => {
      cancel()
      // What goes wrong before anybody reads is found when somebody does.
      response.on('error', () => {})
      resolve(response)
    })
    request.on('error', (error) => {
      cancel()
      reject(error)
    })
    request.end()
  })
}

/** Where the server sends us instead; never from https back to http. */
function redirectOf(response: IncomingMessage, from: URL): URL | undefined {
  const { statusCode = 0, headers } = response
  if (![301, 302, 303, 307, 308].includes(statusCode)) return undefined
  const url = URL.parse(headers.location ?? '', from.href)
  const isAllowed = url?.protocol === 'https:' || url?.protocol === from.protocol
  if (url !== null && isAllowed && headers.location !== undefined) return url
  response.destroy()
  throw fault(`it redirects to ${JSON.stringify(headers.location ?? 'nowhere')}`)
}

function checkedBody(response: IncomingMessage, range: HttpRange, clock: Clock): RangeBody {
  const reason = whyUnusable(response, range)
  if (reason === undefined) {
    return { read: (onFragment) => readBody(response, { range, clock, onFragment }) }
  }
  response.destroy()
  throw fault(reason)
}

function whyUnusable(
  { statusCode, headers }: IncomingMessage,
  range: HttpRange,
): string | undefined {
  if (statusCode === 200) return 'it does not know ranges, but sends the whole file'
  if (statusCode !== 206) return `HTTP status ${statusCode ?? 0}`
  const encoding = headers['content-encoding'] ?? 'identity'
  if (encoding !== 'identity') return `it sends ${encoding} in place of the file's bytes`
  const lastByte = range.offsetBytes + range.lengthBytes - 1
  const expected = `bytes ${range.offsetBytes}-${lastByte}/`
  const given = headers['content-range'] ?? ''
  const isRange = given === `${expected}${range.fileBytes}` || given === `${expected}*`
  if (!isRange) return `it answers ${JSON.stringify(given)} for ${expected}${range.fileBytes}`
  const length = headers['content-length']
  const isLength = length === undefined || Number(length) === range.lengthBytes
  return isLength ? undefined : `it announces ${length} bytes for ${range.lengthBytes}`
}

function readBody(
  response: IncomingMessage,
  how: {
    readonly range: HttpRange
    readonly clock: Clock
    readonly onFragment: (fragment: Uint8Array) => void
  },
): Promise<void> {
  const { range, clock, onFragment } = how
  return new Promise((resolve, reject) => {
    let leftBytes = range.lengthBytes
    let heardMs = clock.monotonicMs()
    let cancel = () => {}
    const stop = (error: unknown) => {
      cancel()
      reject(error)
      response.destroy()
    }
    const watch = () => {
      const waitMs = heardMs + SILENCE_MS - clock.monotonicMs()
      if (waitMs <= 0) stop(silenceFault())
      else cancel = clock.schedule(waitMs, watch)
    }
    watch()
    response.on('data', (fragment: Buffer) => {
      heardMs = clock.monotonicMs()
      leftBytes -= fragment.length
      if (leftBytes < 0) return stop(fault('it sends more than it was asked for'))
      try {
        onFragment(fragment)
      } catch (error) {
        stop(error)
      }
    })
    response.on('end', () => {
      cancel()
      if (leftBytes > 0) stop(shortFault())
      else resolve()
    })
    response.on('error', stop)
    response.on('close', () => stop(shortFault()))
    // The end came before anybody read.
    if (response.destroyed) stop(response.errored ?? shortFault())
  })
}

function silenceFault(): SiError {
  return fault(`it was silent for ${SILENCE_MS / 1000} s`)
}

function shortFault(): SiError {
  return fault('it hung up before all was sent')
}

function fault(what: string): SiError {
  return new SiError('ERR_SI_PROTOCOL', `Web server breaks the protocol: ${what}`)
}
