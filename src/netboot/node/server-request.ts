// One call of a node to si-server, in the clear or by TLS. Invariant: what comes back is bounded, and whoever answers in the
// server's place without its certificate is never waited for as if it were away.
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { request as requestSecurely, type RequestOptions } from 'node:https'
import { messageOf, SiError, throwIfAborted } from '../../core/core.ts'

export interface ImageServer {
  /** Without a slash at its end. */
  readonly url: string
  /** For https: whom to believe, and what to show. */
  readonly callOptions?: (() => RequestOptions) | undefined
}

export interface Call {
  readonly method?: 'GET' | 'HEAD' | 'POST'
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  readonly signal: AbortSignal
}

/** The server cannot be reached, or not now: waiting may help. */
export class ServerUnreachable extends Error {}

const ANSWER_TIMEOUT_MS = 15_000
/** Orders with scripts and layouts are within one MiB each. */
const MOST_ANSWER_BYTES = 64 * 2 ** 20

/** Throws ServerUnreachable when there is no answer, or one that says "later" (5xx), ERR_SI_UNTRUSTED. */
export async function request(server: ImageServer, path: string, call: Call): Promise<Response> {
  const { signal } = call
  const limited = {
    ...call,
    signal: AbortSignal.any([signal, AbortSignal.timeout(ANSWER_TIMEOUT_MS)]),
  }
  const url = new URL(server.url + path)
  let response: Response
  try {
    response =
      url.protocol === 'https:'
        ? await callSecurely(url, limited, server.callOptions?.() ?? {})
        : await fetch(url, limited)
  } catch (error) {
    throwIfAborted(signal)
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
    if (isDistrust(cause)) throw distrust(url, cause)
    throw new ServerUnreachable(`No answer of ${url.origin}: ${messageOf(cause)}`)
  }
  if (response.status < 500) return response
  const text = (await response.text()).slice(0, 200)
  throw new ServerUnreachable(`${url.origin} answered ${response.status}: ${text}`)
}

/** fetch() takes no certificates. */
async function callSecurely(url: URL, call: Call, options: RequestOptions): Promise<Response> {
  const { method = 'GET', headers = {}, body, signal } = call
  const asking = requestSecurely(url, { ...options, method, headers, signal, agent: false })
  asking.on('error', () => {}) // after the response has begun, whoever reads it finds out
  asking.end(body)
  const [answer] = (await once(asking, 'response')) as [IncomingMessage]
  const parts: Buffer[] = []
  let sizeBytes = 0
  for await (const part of answer as AsyncIterable<Buffer>) {
    sizeBytes += part.length
    if (sizeBytes > MOST_ANSWER_BYTES) throw new Error('its answer is too long')
    parts.push(part)
  }
  const status = answer.statusCode ?? 0
  const isEmpty = status === 204 || status === 304
  const known = Object.entries(answer.headers).flatMap(([name, value]) =>
    typeof value === 'string' ? [[name, value] as [string, string]] : [],
  )
  return new Response(isEmpty ? null : Buffer.concat(parts), { status, headers: known })
}

/** Codes of OpenSSL for chains that do not hold (verify(1)), and what our own check of the certificate throws. */
function isDistrust(error: unknown): error is Error {
  if (!(error instanceof Error)) return false
  const { code = '' } = error as { readonly code?: string }
  return code === 'ERR_SI_UNTRUSTED' || /CERT|SELF_SIGNED|ISSUER/.test(code)
}

function distrust(url: URL, cause: Error): SiError {
  return new SiError('ERR_SI_UNTRUSTED', `Cannot trust ${url.origin}: ${messageOf(cause)}`, {
    hint: 'Make the boot files anew with the ca.pem of this server, or find out who answers there',
    cause,
  })
}
