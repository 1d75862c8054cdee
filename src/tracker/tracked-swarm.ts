// The peers of one torrent, as they announce themselves. Invariant: a peer is its address, counted once,
// gone when it says so or stays silent; memory is bounded. Announcing costs one walk over the peers.
// It answers bittorrent-tracker's server in place of that package's own swarm, whose lists are copied
// and sorted at every announce. Spec: BEP 3, 48.
import type {
  AnnounceAnswer,
  AnnounceParams,
  SwarmPeer,
  TrackerSwarm,
} from 'bittorrent-tracker/server'
import { isRackName, type Clock } from '../core/core.ts'
import { chooseNeighbours, type NeighbourCandidate } from './neighbours.ts'

export interface TrackedSwarmOptions {
  /** A peer that is silent for so long is gone. */
  readonly silenceMs: number
  readonly clock: Clock
  /** Uniform in [0, 1). */
  readonly random: () => number
  /** A complete peer that never announces, told to everybody first; undefined when there is none. */
  readonly seederFor: (params: AnnounceParams) => SwarmPeer | undefined
  /** Whether there is such a peer, for a scrape. */
  readonly hasSeeder: () => boolean
}

interface TrackedPeer extends SwarmPeer, NeighbourCandidate {
  /** As bittorrent-tracker spells AnnounceParams.addr. */
  readonly address: string
  readonly announcedMs: number
  /** Its index in the list. */
  place: number
}

/** More peers per torrent than any cluster has; the bound only stops a flood of forged ports. */
const MAX_PEERS = 65_536

/** Peers told at once, the seeder among them: 8 to 16 neighbours, and some that may be gone. */
const MAX_TOLD = 16

const EVENTS: readonly unknown[] = ['started', 'update', 'completed', 'paused', 'stopped']

export class TrackedSwarm implements TrackerSwarm {
  readonly #options: TrackedSwarmOptions
  /** In the order of their last announce. */
  readonly #byAddress = new Map<string, TrackedPeer>()
  /** The same peers in any order, to choose from. */
  readonly #list: TrackedPeer[] = []
  #completeCount = 0

  constructor(options: TrackedSwarmOptions) {
    this.#options = options
  }

  get size(): number {
    this.#dropSilent()
    return this.#list.length
  }

  announce(
    params: AnnounceParams,
    callback: (error: Error | null, answer?: AnnounceAnswer) => void,
  ): void {
    if (!EVENTS.includes(params.event)) return callback(new Error('invalid event'))
    this.#dropSilent()
    this.#remove(this.#byAddress.get(params.addr))
    const isStopped = params.event === 'stopped'
    const chosen = isStopped ? [] : this.#choose(params)
    if (!isStopped) this.#add(params)
    callback(null, { ...this.#counts(), peers: chosen })
  }

  scrape(
    _params: unknown,
    callback: (error: null, counts: { complete: number; incomplete: number }) => void,
  ): void {
    this.#dropSilent()
    callback(null, this.#counts())
  }

  #counts(): { complete: number; incomplete: number } {
    const seeders = this.#options.hasSeeder() ? 1 : 0
    return {
      complete: this.#completeCount + seeders,
      incomplete: this.#list.length - this.#completeCount,
    }
  }

  #choose(params: AnnounceParams): SwarmPeer[] {
    const { random, seederFor } = this.#options
    const told = Math.min(MAX_TOLD, Math.max(0, params.numwant))
    const seeder = seederFor(params)
    const first = seeder === undefined ? [] : [seeder]
    const count = told - first.length
    const neighbours = chooseNeighbours(this.#list, factsOf(params), { count, random })
    const others = neighbours.filter((peer) => !isSamePlace(peer, seeder))
    return [...first, ...others].slice(0, told)
  }

  #add(params: AnnounceParams): void {
    const [oldest] = this.#byAddress.values()
    if (this.#list.length >= MAX_PEERS) this.#remove(oldest)
    const peer: TrackedPeer = {
      ...{ ip: params.ip, port: params.port, peerId: params.peer_id, address: params.addr },
      ...factsOf(params),
      announcedMs: this.#options.clock.monotonicMs(),
      place: this.#list.length,
    }
    this.#byAddress.set(peer.address, peer)
    this.#list.push(peer)
    if (peer.isComplete) this.#completeCount++
  }

  #remove(peer: TrackedPeer | undefined): void {
    if (peer === undefined) return
    this.#byAddress.delete(peer.address)
    const last = this.#list.pop()
    if (last !== undefined && last !== peer) {
      last.place = peer.place
      this.#list[peer.place] = last
    }
    if (peer.isComplete) this.#completeCount--
  }

  #dropSilent(): void {
    const { clock, silenceMs } = this.#options
    const latestMs = clock.monotonicMs() - silenceMs
    for (const peer of this.#byAddress.values()) {
      if (peer.announcedMs >= latestMs) return
      this.#remove(peer)
    }
  }
}

function isSamePlace(peer: SwarmPeer, other: SwarmPeer | undefined): boolean {
  return peer.port === other?.port && peer.ip === other.ip
}

function factsOf(params: AnnounceParams): NeighbourCandidate {
  const { rack, left, event } = params
  return {
    rack: isRackName(rack) ? rack : undefined,
    isComplete: left === 0 || event === 'completed',
  }
}
