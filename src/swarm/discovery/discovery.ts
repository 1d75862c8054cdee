// Where the peers of one torrent come from besides those that come by themselves: trackers, the peers we
// have, calls on the local network. Invariant: of a private torrent nobody is told, and nobody learned of,
// but by its trackers and our administrator. Spec: BEP 11, 12, 14, 27.
import { type Clock } from '../../core/core.ts'
import { type Metainfo } from '../../torrent/torrent.ts'
import { type LocalDiscovery, type LocalMembership } from './local-discovery.ts'
import { PeerExchange } from './peer-exchange.ts'
import { type PeerSet } from '../peer-set.ts'
import { type Peer } from '../peer.ts'
import { type Surroundings } from '../surroundings.ts'
import {
  createTrackerClient,
  type AnnounceFacts,
  type TrackerClientOptions,
  type TrackerClient,
} from './tracker-client.ts'

export interface DiscoveryOptions {
  readonly metainfo: Metainfo
  readonly trackers: readonly (readonly string[])[]
  readonly identity: Pick<TrackerClientOptions['identity'], 'peerId' | 'address' | 'rack'>
  readonly facts: () => AnnounceFacts
  readonly peers: PeerSet
  readonly clock: Clock
  /** Uniform in [0, 1). */
  readonly random: () => number
  readonly surroundings: Surroundings
  /** undefined: switched off. */
  readonly localDiscovery: LocalDiscovery | undefined
}

export class Discovery {
  readonly #tracker: TrackerClient
  readonly #exchange: PeerExchange<Peer> | undefined
  readonly #local: LocalMembership | undefined

  constructor(options: DiscoveryOptions) {
    const { isPrivate } = options.metainfo
    this.#tracker = startTracker(options)
    this.#exchange = isPrivate ? undefined : createExchange(options)
    this.#local = isPrivate ? undefined : joinLocally(options)
  }

  /** In words for people. */
  get trackerStatus(): string {
    return this.#tracker.status
  }

  /** To be called a few times a second; `isShort`: more peers are needed. */
  tick(isShort: boolean): void {
    this.#exchange?.tick()
    if (!isShort) return
    this.#tracker.hurry()
    this.#local?.hurry()
  }

  /** A message of the peer exchange has come. Throws ERR_SI_PROTOCOL. */
  onPeerExchange(peer: Peer, payload: Uint8Array): void {
    this.#exchange?.receive(peer, payload)
  }

  /** The download is complete. */
  completed(): void {
    this.#tracker.completed()
  }

  /** Says good-bye to the tracker. */
  async close(): Promise<void> {
    this.#local?.leave()
    await this.#tracker.close()
  }
}

function startTracker(options: DiscoveryOptions): TrackerClient {
  const { metainfo, trackers, identity, facts, peers, clock, random, surroundings } = options
  const key = Math.floor(random() * 2 ** 32).toString(16)
  return createTrackerClient({
    tiers: trackers,
    identity: { ...identity, infoHash: metainfo.infoHash, key },
    facts,
    // Our tracker names the image server first: every node shall have its share of fresh pieces.
    onPeers: ([first, ...others]) => {
      if (first !== undefined) peers.addEndpoints([first], { isStatic: false, isPreferred: true })
      peers.addEndpoints(others, { isStatic: false })
    },
    ...{ clock, random, send: surroundings.announce },
  })
}

function createExchange({ clock, random, peers }: DiscoveryOptions): PeerExchange<Peer> {
  return new PeerExchange({
    ...{ clock, random, members: () => peers.members() },
    onTold: (endpoints, peer) => {
      peers.addEndpoints(endpoints, { isStatic: false, teller: peer.connection.remoteHost })
    },
  })
}

function joinLocally(options: DiscoveryOptions): LocalMembership | undefined {
  const { metainfo, peers, localDiscovery } = options
  return localDiscovery?.join(metainfo.infoHash, (endpoint) => {
    return peers.addEndpoints([endpoint], { isStatic: false, teller: endpoint.host }) > 0
  })
}
