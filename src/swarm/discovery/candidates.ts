// Where peers may be found and when to try them next. Pure: times and randomness are handed in.
// Invariant: an address is tried by one attempt at a time, and one that failed waits longer each time;
// static peers are tried for ever, others are forgotten after some failures.
import { formatEndpoint } from '../connection/connection.ts'

export interface Endpoint {
  readonly host: string
  readonly port: number
}

interface Candidate extends Endpoint {
  readonly address: string
  readonly isStatic: boolean
  isPreferred: boolean
  failures: number
  nextTryMs: number
  isInUse: boolean
  /** Identity of who answered there last. */
  identity: string | undefined
  /** Host that told us of an address nobody has answered at yet; undefined when it is no hearsay. */
  teller: string | undefined
}

export interface AddOptions {
  /** Tried for ever, before all others. */
  readonly isStatic: boolean
  /**
   * Host that the address comes from when that is neither the tracker nor our administrator. Such
   * addresses are hearsay until somebody answers there; how much of it is kept is bounded.
   */
  readonly teller?: string
  /** Tried even when there are neighbours enough: the image server. */
  readonly isPreferred?: boolean
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

/** Addresses that peers told us and nobody has answered at; of one host, and of all. */
const MAX_HEARSAY_PER_HOST = 100
const MAX_HEARSAY = 1000

/** Static and preferred ones that are tried at once, however many neighbours there are. */
const MAX_URGENT = 8

export class Candidates {
  readonly #byAddress = new Map<string, Candidate>()
  readonly #hearsayByHost = new Map<string, number>()
  readonly #random: () => number
  #hearsayCount = 0

  constructor(random: () => number) {
    this.#random = random
  }

  /** Learns an address; false when it is known already, or one too many. */
  add(endpoint: Endpoint, { isStatic, teller, isPreferred = false }: AddOptions): boolean {
    const address = formatEndpoint(endpoint.host, endpoint.port)
    const known = this.#byAddress.get(address)
    if (known !== undefined) {
      if (teller === undefined) this.#confirm(known)
      known.isPreferred ||= isPreferred
      return false
    }
    if (this.#byAddress.size >= MAX_CANDIDATES || !this.#countHearsay(teller)) return false
    this.#byAddress.set(address, {
      ...{ host: endpoint.host, port: endpoint.port, address, isStatic, isPreferred, teller },
      ...{ failures: 0, nextTryMs: 0, isInUse: false, identity: undefined },
    })
    return true
  }

  /** False when this host, or all together, told enough. */
  #countHearsay(teller: string | undefined): boolean {
    if (teller === undefined) return true
    const count = this.#hearsayByHost.get(teller) ?? 0
    if (count >= MAX_HEARSAY_PER_HOST || this.#hearsayCount >= MAX_HEARSAY) return false
    this.#hearsayByHost.set(teller, count + 1)
    this.#hearsayCount++
    return true
  }

  /** The address is hearsay no longer, or is forgotten. */
  #confirm(candidate: Candidate): void {
    const { teller } = candidate
    if (teller === undefined) return
    candidate.teller = undefined
    this.#hearsayCount--
    const count = (this.#hearsayByHost.get(teller) ?? 1) - 1
    if (count === 0) this.#hearsayByHost.delete(teller)
    else this.#hearsayByHost.set(teller, count)
  }

  /**
   * Endpoints to connect to now, marked as in use: those that are static or preferred, up to `count` with
   * the others. `isConnected` tells by identity.
   */
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
    const isUrgent = ({ candidate }: (typeof ranked)[number]) =>
      candidate.isStatic || candidate.isPreferred
    const urgent = ranked.filter(isUrgent).slice(0, MAX_URGENT)
    const others = ranked.filter((one) => !isUrgent(one))
    const taken = [...urgent, ...others.slice(0, Math.max(0, count - urgent.length))]
    return taken.map(({ candidate }) => {
      candidate.isInUse = true
      return candidate
    })
  }

  /** This peer is reached there. */
  answered(address: string, identity: string): void {
    const candidate = this.#byAddress.get(address)
    if (candidate === undefined) return
    candidate.identity = identity
    this.#confirm(candidate)
  }

  /** The attempt or the connection ended. */
  ended(address: string, how: Ending, nowMs: number): void {
    const candidate = this.#byAddress.get(address)
    if (candidate === undefined) return
    candidate.isInUse = false
    if (how !== 'failed') candidate.failures = 0
    candidate.nextTryMs = nowMs + this.#delayMs(candidate, how)
    if (how === 'failed') candidate.failures++
    if (candidate.failures < MAX_FAILURES || candidate.isStatic) return
    this.#confirm(candidate)
    this.#byAddress.delete(address)
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
