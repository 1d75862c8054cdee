// Where peers may be found and when to try them next. Pure: times and randomness are handed in.
// Invariant: an address is tried by one attempt at a time, and one that failed waits longer each time;
// static peers are tried for ever, others are forgotten after some failures.
import { formatEndpoint } from './connection.ts'

export interface Endpoint {
  readonly host: string
  readonly port: number
}

interface Candidate extends Endpoint {
  readonly address: string
  readonly isStatic: boolean
  failures: number
  nextTryMs: number
  isInUse: boolean
  /** Identity of who answered there last. */
  identity: string | undefined
}

/** How an attempt or a connection ended; one that ended within seconds has failed, too. */
export type Ending = 'failed' | 'lost' | 'useless' | 'banned'

const FIRST_RETRY_MS = 500
const LONGEST_RETRY_MS = 60_000
const LONGEST_STATIC_RETRY_MS = 5000

/** A peer that had nothing for us, nor wanted anything. */
const USELESS_RETRY_MS = 10 * 60_000

const MAX_FAILURES = 6

/** More addresses than any swarm needs; a tracker cannot fill our memory with them. */
const MAX_CANDIDATES = 2000

export class Candidates {
  readonly #byAddress = new Map<string, Candidate>()
  readonly #random: () => number

  constructor(random: () => number) {
    this.#random = random
  }

  /** Learns an address; what is known of it already stays. */
  add(endpoint: Endpoint, options: { readonly isStatic: boolean }): void {
    const address = formatEndpoint(endpoint.host, endpoint.port)
    if (this.#byAddress.has(address) || this.#byAddress.size >= MAX_CANDIDATES) return
    this.#byAddress.set(address, {
      ...{ host: endpoint.host, port: endpoint.port, address, isStatic: options.isStatic },
      ...{ failures: 0, nextTryMs: 0, isInUse: false, identity: undefined },
    })
  }

  /** Up to `count` endpoints to connect to now, marked as in use; `isConnected` tells by identity. */
  take(
    nowMs: number,
    count: number,
    filter: { readonly onlyStatic: boolean; readonly isConnected: (identity: string) => boolean },
  ): Endpoint[] {
    const due = [...this.#byAddress.values()].filter(
      (candidate) =>
        !candidate.isInUse &&
        candidate.nextTryMs <= nowMs &&
        (candidate.isStatic || !filter.onlyStatic) &&
        (candidate.identity === undefined || !filter.isConnected(candidate.identity)),
    )
    // Static peers first, then those that failed least, then any: all nodes must not pick the same ones.
    const ranked = due
      .map((candidate) => ({ candidate, tie: this.#random() }))
      .toSorted(
        (a, b) =>
          Number(b.candidate.isStatic) - Number(a.candidate.isStatic) ||
          a.candidate.failures - b.candidate.failures ||
          a.tie - b.tie,
      )
    return ranked.slice(0, Math.max(0, count)).map(({ candidate }) => {
      candidate.isInUse = true
      return candidate
    })
  }

  /** This peer is reached there. */
  answered(address: string, identity: string): void {
    const candidate = this.#byAddress.get(address)
    if (candidate === undefined) return
    candidate.identity = identity
  }

  /** The attempt or the connection ended. */
  ended(address: string, how: Ending, nowMs: number): void {
    const candidate = this.#byAddress.get(address)
    if (candidate === undefined) return
    candidate.isInUse = false
    if (how !== 'failed') candidate.failures = 0
    candidate.nextTryMs = nowMs + this.#delayMs(candidate, how)
    if (how === 'failed') candidate.failures++
    if (candidate.failures >= MAX_FAILURES && !candidate.isStatic) this.#byAddress.delete(address)
  }

  #delayMs(candidate: Candidate, how: Ending): number {
    if (how === 'banned') return Infinity
    if (how === 'useless') return USELESS_RETRY_MS
    const longestMs = candidate.isStatic ? LONGEST_STATIC_RETRY_MS : LONGEST_RETRY_MS
    const delayMs = Math.min(longestMs, FIRST_RETRY_MS * 2 ** candidate.failures)
    return delayMs * (0.75 + this.#random() / 2)
  }

  get count(): number {
    return this.#byAddress.size
  }
}
