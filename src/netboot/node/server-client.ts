// What a node asks of si-server: its orders, and the time. Invariant: a server that cannot be reached is told apart from one
// that refuses or is not to be believed; waiting helps with the first alone.
import { randomBytes } from 'node:crypto'
import { openAnswer, SIGNATURE_HEADER, type NodeAnswer } from '../../cluster/cluster.ts'
import { SiError } from '../../core/core.ts'
import type { Trust } from '../../pki/pki.ts'
import { request, type ImageServer } from './server-request.ts'

export interface NodeIdentity {
  readonly mac: string
  readonly uuid: string | undefined
  readonly name: string | undefined
}

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
  server: ImageServer,
  identity: NodeIdentity,
  how: { readonly trust: Trust; readonly signal: AbortSignal },
): Promise<Orders | undefined> {
  const nonce = randomBytes(16).toString('hex')
  const query = new URLSearchParams()
  for (const [key, value] of Object.entries({ ...identity, nonce })) {
    if (value !== undefined) query.set(key, value)
  }
  const response = await request(server, `/v1/node?${query.toString()}`, { signal: how.signal })
  if (response.status === 404) return undefined
  const body = new Uint8Array(await response.arrayBuffer())
  if (!response.ok) {
    const text = Buffer.from(body).toString('utf8').slice(0, 500)
    throw new SiError(
      'ERR_SI_CONFIGURATION',
      `${server.url} answered ${response.status}: ${text}`,
      {
        hint: "Look at si-server's log and at cluster.yaml",
      },
    )
  }
  const signature = response.headers.get(SIGNATURE_HEADER) ?? undefined
  const { answer, verdict } = await openAnswer({ body, signature, nonce }, how.trust)
  return { orders: answer, ...verdict }
}

/**
 * Milliseconds since 1970 by the server's clock; undefined: it does not say. Any answer carries the date, also one
 * that refuses. Nobody's certificate can be judged before the time is known, so none is.
 */
export async function askForTime(url: string, signal: AbortSignal): Promise<number | undefined> {
  const anybody = { url, callOptions: () => ({ rejectUnauthorized: false }) }
  const response = await request(anybody, '/health', { method: 'HEAD', signal })
  const timeMs = Date.parse(response.headers.get('date') ?? '')
  return Number.isNaN(timeMs) ? undefined : timeMs
}
