// What a node says to si-server and asks of it. Invariant: reports and log are a courtesy: a server that does not take
// them holds up no installation; what could not be sent is sent with the next.
import { randomBytes } from 'node:crypto'
import {
  MAX_ERROR_CHARACTERS,
  MAX_MESSAGE_CHARACTERS,
  openAnswer,
  SIGNATURE_HEADER,
  type NodeAnswer,
} from '../../cluster/cluster.ts'
import { messageOf, SiError, throwIfAborted } from '../../core/core.ts'
import type { Trust } from '../../pki/pki.ts'

export interface Report {
  readonly phase: string
  readonly percent: number | null
  readonly message: string
  readonly error?: string
}

export interface NodeIdentity {
  readonly mac: string
  readonly uuid: string | undefined
  readonly name: string | undefined
}

const ANSWER_TIMEOUT_MS = 15_000
/** More of an unsent log would tell nothing new. */
const KEPT_LOG_CHARACTERS = 256 * 1024

/** The server cannot be reached, or not now: waiting may help. */
export class ServerUnreachable extends Error {}

export interface Orders {
  readonly orders: NodeAnswer
  /** Name of who signed them; null: nobody. */
  readonly signer: string | null
  readonly notes: readonly string[]
}

/**
 * What the server says this node is to do; undefined: it does not know the node. What it says is believed only as
 * far as signers are trusted: it decides which disk is erased. Throws ERR_SI_UNTRUSTED, ERR_SI_CONFIGURATION.
 */
export async function askForOrders(
  server: string,
  identity: NodeIdentity,
  how: { readonly trust: Trust; readonly signal: AbortSignal },
): Promise<Orders | undefined> {
  const url = new URL(`${server}/v1/node`)
  const nonce = randomBytes(16).toString('hex')
  for (const [key, value] of Object.entries({ ...identity, nonce })) {
    if (value !== undefined) url.searchParams.set(key, value)
  }
  const response = await request(url, {}, how.signal)
  if (response.status === 404) return undefined
  const body = new Uint8Array(await response.arrayBuffer())
  if (!response.ok) {
    const text = Buffer.from(body).toString('utf8').slice(0, 500)
    throw new SiError('ERR_SI_CONFIGURATION', `${server} answered ${response.status}: ${text}`, {
      hint: "Look at si-server's log and at cluster.yaml",
    })
  }
  const signature = response.headers.get(SIGNATURE_HEADER) ?? undefined
  const { answer, verdict } = await openAnswer({ body, signature, nonce }, how.trust)
  return { orders: answer, ...verdict }
}

/** Throws ServerUnreachable when there is no answer, or one that says "later" (5xx). */
async function request(url: URL, init: RequestInit, signal: AbortSignal): Promise<Response> {
  const either = AbortSignal.any([signal, AbortSignal.timeout(ANSWER_TIMEOUT_MS)])
  let response: Response
  try {
    response = await fetch(url, { ...init, signal: either })
  } catch (error) {
    throwIfAborted(signal)
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
    throw new ServerUnreachable(`No answer of ${url.origin}: ${messageOf(cause)}`)
  }
  if (response.status < 500) return response
  const text = (await response.text()).slice(0, 200)
  throw new ServerUnreachable(`${url.origin} answered ${response.status}: ${text}`)
}

/**
 * Milliseconds since 1970 by the server's clock; undefined: it does not say. Any answer carries the date, also one
 * that refuses.
 */
export async function askForTime(server: string, signal: AbortSignal): Promise<number | undefined> {
  const response = await request(new URL(`${server}/health`), { method: 'HEAD' }, signal)
  const timeMs = Date.parse(response.headers.get('date') ?? '')
  return Number.isNaN(timeMs) ? undefined : timeMs
}

export interface Reporter {
  report(report: Report): Promise<void>
  /** Appends to the log that the server keeps; sent soon. */
  log(text: string): void
  /** Sends what is left. */
  flush(): Promise<void>
}

/** A report that is too long would be refused, and its news be lost. */
function shortened({ message, error, ...report }: Report): Report {
  return {
    ...{ ...report, message: message.slice(0, MAX_MESSAGE_CHARACTERS) },
    ...(error === undefined ? {} : { error: error.slice(0, MAX_ERROR_CHARACTERS) }),
  }
}

const LOG_INTERVAL_MS = 2000

/** Reports of a host; without a server or a name nothing is sent. */
export function createReporter(
  server: string | undefined,
  host: string | undefined,
  signal: AbortSignal,
): Reporter {
  let unsent = ''
  let timer: NodeJS.Timeout | undefined
  const url = (what: string) =>
    new URL(`${server}/v1/nodes/${encodeURIComponent(host ?? '')}/${what}`)
  const isSilent = server === undefined || host === undefined
  const flush = async () => {
    clearTimeout(timer)
    timer = undefined
    const text = unsent
    unsent = ''
    if (isSilent || text === '') return
    const headers = { 'content-type': 'text/plain; charset=utf-8' }
    await request(url('log'), { method: 'POST', body: text, headers }, signal).catch(() => {
      unsent = (text + unsent).slice(-KEPT_LOG_CHARACTERS)
    })
  }
  return {
    async report(report) {
      if (isSilent) return
      const init = { method: 'POST', body: JSON.stringify(shortened(report)) }
      const headers = { 'content-type': 'application/json' }
      await request(url('report'), { ...init, headers }, signal).catch(() => {})
    },
    log(text) {
      if (isSilent) return
      unsent = (unsent + text).slice(-KEPT_LOG_CHARACTERS)
      timer ??= setTimeout(() => void flush(), LOG_INTERVAL_MS)
      timer.unref()
    },
    flush,
  }
}
