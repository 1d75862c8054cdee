// The door of tracker: who is in which swarm, over HTTP. Invariants: memory is bounded (unknown info
// hashes are refused, silent peers expire), an announcer never gets itself, and the address of a peer
// is the one its request came from. Requests are read and answers written by bittorrent-tracker.
// Specs: BEP 3, 7, 23, 48.
import type { IncomingMessage, ServerResponse } from 'node:http'
import BittorrentTracker, { type AnnounceParams, type SwarmPeer } from 'bittorrent-tracker/server'
import { systemClock, type Clock } from '../core/core.ts'
import type { InfoHash } from '../torrent/torrent.ts'
import { TrackedSwarm } from './tracked-swarm.ts'

export { chooseNeighbours, type NeighbourCandidate, type NeighbourOptions } from './neighbours.ts'

export interface TrackerOptions {
  /** How often peers shall announce. */
  readonly intervalMs: number
  /** Only these torrents are tracked; asked at every announce. */
  readonly isKnown: (infoHash: InfoHash) => boolean
  /**
   * Port of the seeder that runs beside this tracker, or undefined when it does not seed that
   * torrent. It is named under the very address that the announcer used to reach the tracker.
   */
  readonly seederPort?: (infoHash: InfoHash) => number | undefined
  /** IP address of that seeder, where address translation hides it from the announcers. */
  readonly seederAddress?: string | undefined
  readonly clock?: Clock
  /** Uniform in [0, 1); for tests. */
  readonly random?: () => number
}

export interface Tracker {
  /** Answers GET /announce and GET /scrape. */
  handle(request: IncomingMessage, response: ServerResponse): void
  /** Peers that announced within the last three intervals; 0 for an unknown torrent. */
  peerCount(infoHash: InfoHash): number
  /** Drops the swarm of a torrent that is no longer known. */
  forget(infoHash: InfoHash): void
  close(): void
}

/** A peer that missed this many announces is gone. */
const INTERVALS_UNTIL_GONE = 3

/** Peer id of the seeder in answers that are not compact; clients that compare ids may skip it. */
const UNKNOWN_PEER_ID = '00'.repeat(20)

export function createTracker(options: TrackerOptions): Tracker {
  const tracker = new BittorrentTracker<TrackedSwarm>({
    http: false,
    udp: false,
    ws: false,
    stats: false,
    interval: options.intervalMs,
    filter: (infoHash, _params, callback) =>
      callback(options.isKnown(infoHash as InfoHash) ? null : new Error('unknown torrent')),
  })
  tracker.on('warning', () => {}) // a client's bad request; the client was told
  tracker.createSwarm = (infoHash, callback) => {
    // Two first announces at the same moment must end up in one swarm.
    const swarm = (tracker.torrents[infoHash] ??= createSwarm(infoHash as InfoHash, options))
    callback(null, swarm)
  }
  return {
    handle(request, response) {
      response.setHeader('content-type', 'text/plain')
      response.setHeader('cache-control', 'no-store')
      tracker.onHttpRequest(request, response)
    },
    peerCount: (infoHash) => tracker.torrents[infoHash]?.size ?? 0,
    forget(infoHash) {
      Reflect.deleteProperty(tracker.torrents, infoHash)
    },
    close: () => tracker.close(),
  }
}

function createSwarm(infoHash: InfoHash, options: TrackerOptions): TrackedSwarm {
  const seederPort = () => options.seederPort?.(infoHash)
  return new TrackedSwarm({
    silenceMs: INTERVALS_UNTIL_GONE * options.intervalMs,
    clock: options.clock ?? systemClock,
    random: options.random ?? Math.random,
    seederFor: (params) => findSeeder(params, seederPort(), options.seederAddress),
    hasSeeder: () => seederPort() !== undefined,
  })
}

function findSeeder(
  params: AnnounceParams,
  port: number | undefined,
  address: string | undefined,
): SwarmPeer | undefined {
  const ip = address ?? params.httpReq.socket.localAddress?.replace(/^::ffff:/, '')
  if (port === undefined || ip === undefined) return undefined
  return { peerId: UNKNOWN_PEER_ID, ip, port }
}
