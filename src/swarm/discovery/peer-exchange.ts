// Telling connected peers of each other, so that a swarm holds together without its tracker. Invariant:
// a peer is told at most once a minute, and only of peers that we are connected to; what it tells us is
// believed as hearsay, a bounded part of the candidates. Never used in private torrents. Spec: BEP 11, 27.
import { shuffle, type Clock } from '../../core/core.ts'
import { type Endpoint } from './candidates.ts'
import { isWorthTelling } from './compact-peers.ts'
import { formatEndpoint, type Connection } from '../connection/connection.ts'
import {
  decodePeerExchange,
  encodePeerExchange,
  MAX_EXCHANGED,
  type Contact,
} from './peer-exchange-message.ts'

/** A connected peer, as far as the exchange needs it. */
export interface ExchangePeer {
  readonly connection: Pick<Connection, 'remoteHost' | 'isOutgoing' | 'send'>
  /** Number that it gave to messages of the exchange; 0 when it takes none. */
  readonly peerExchangeId: number
  readonly isComplete: boolean
}

export interface ExchangeMember<P extends ExchangePeer> {
  readonly peer: P
  /** Where others reach it, as far as we know. */
  readonly listens: Endpoint | undefined
}

export interface PeerExchangeOptions<P extends ExchangePeer> {
  readonly clock: Clock
  /** Uniform in [0, 1). */
  readonly random: () => number
  readonly members: () => Iterable<ExchangeMember<P>>
  /** Addresses that `peer` told us about. */
  readonly onTold: (endpoints: readonly Endpoint[], peer: P) => void
}

/** The first message waits for company to arrive: the next one is a minute off. */
const FIRST_DELAY_MS = 2000
const INTERVAL_MS = 60_000

/** Looked at again after this long when there was nothing to tell. */
const IDLE_DELAY_MS = 5000

/** Messages that come sooner than this after another are not read; honest ones are minutes apart. */
const MIN_GAP_MS = 10_000

interface PeerState {
  dueMs: number
  readMs: number
  /** What it was told and not told to forget, by address. */
  readonly told: Map<string, Endpoint>
}

interface KnownContact extends Contact {
  readonly address: string
}

export class PeerExchange<P extends ExchangePeer> {
  readonly #options: PeerExchangeOptions<P>
  readonly #states = new WeakMap<P, PeerState>()

  constructor(options: PeerExchangeOptions<P>) {
    this.#options = options
  }

  /** To be called a few times a second: sends what is due. */
  tick(): void {
    const nowMs = this.#options.clock.monotonicMs()
    let contacts: readonly KnownContact[] | undefined
    for (const member of this.#options.members()) {
      const { peer } = member
      if (peer.peerExchangeId === 0) continue
      const state = this.#stateOf(peer, nowMs)
      if (nowMs < state.dueMs) continue
      contacts ??= this.#contacts()
      const isSent = this.#tell(member, state, contacts)
      state.dueMs = nowMs + (isSent ? INTERVAL_MS : IDLE_DELAY_MS)
    }
  }

  /** A message of the exchange has come. Throws ERR_SI_PROTOCOL. */
  receive(peer: P, payload: Uint8Array): void {
    const nowMs = this.#options.clock.monotonicMs()
    const state = this.#stateOf(peer, nowMs)
    if (nowMs - state.readMs < MIN_GAP_MS) return
    state.readMs = nowMs
    const { remoteHost } = peer.connection
    const told = decodePeerExchange(payload).added.filter(({ host }) =>
      isWorthTelling(host, remoteHost),
    )
    this.#options.onTold(told.slice(0, MAX_EXCHANGED), peer)
  }

  #stateOf(peer: P, nowMs: number): PeerState {
    const existing = this.#states.get(peer)
    if (existing !== undefined) return existing
    const state = { dueMs: nowMs + FIRST_DELAY_MS, readMs: -Infinity, told: new Map() }
    this.#states.set(peer, state)
    return state
  }

  #contacts(): KnownContact[] {
    const contacts: KnownContact[] = []
    for (const { peer, listens } of this.#options.members()) {
      if (listens === undefined) continue
      const { host, port } = listens
      const address = formatEndpoint(host, port)
      const { isComplete, connection } = peer
      contacts.push({ host, port, address, isComplete, isReachable: connection.isOutgoing })
    }
    return contacts
  }

  /** False when there is nothing new for this peer. */
  #tell(member: ExchangeMember<P>, state: PeerState, contacts: readonly KnownContact[]): boolean {
    const { told } = state
    const { peer, listens } = member
    const own = listens === undefined ? undefined : formatEndpoint(listens.host, listens.port)
    const news = contacts.filter(
      (contact) =>
        !told.has(contact.address) &&
        contact.address !== own &&
        !(peer.isComplete && contact.isComplete) &&
        isWorthTelling(contact.host, peer.connection.remoteHost),
    )
    const current = new Set(contacts.map(({ address }) => address))
    const gone = [...told].filter(([address]) => !current.has(address)).slice(0, MAX_EXCHANGED)
    if (news.length === 0 && gone.length === 0) return false
    const added = shuffle(news, this.#options.random).slice(0, MAX_EXCHANGED)
    for (const contact of added) told.set(contact.address, contact)
    for (const [address] of gone) told.delete(address)
    const dropped = gone.map(([, endpoint]) => endpoint)
    const payload = encodePeerExchange({ added, dropped })
    peer.connection.send({ type: 'extended', id: peer.peerExchangeId, payload })
    return true
  }
}
