// The door of tracker: who is in which swarm, over HTTP. Invariants: memory is bounded (unknown info
// hashes are refused, silent peers expire), an announcer never gets itself, and the address of a peer
// is the one its request came from. Built on bittorrent-tracker. Specs: BEP 3, 7, 23, 48.
import type { IncomingMessage, ServerResponse } from 'node:http'
import BittorrentTracker, {
  type AnnounceAnswer,
  type AnnounceParams,
  type SwarmPeer,
  type TrackerSwarm,
} from 'bittorrent-tracker/server'
import type { InfoHash } from '../torrent/torrent.ts'

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

/** More peers per torrent than any cluster has; the bound only stops a flood of forged ports. */
const PEERS_KEPT = 65_536

/** Peer id of the seeder in answers that are not compact; clients that compare ids may skip it. */
const UNKNOWN_PEER_ID = '00'.repeat(20)

export function createTracker(options: TrackerOptions): Tracker {
  const tracker = new BittorrentTracker({
    http: false,
    udp: false,
    ws: false,
    stats: false,
    interval: options.intervalMs,
    peersCacheLength: PEERS_KEPT,
    peersCacheTtl: INTERVALS_UNTIL_GONE * options.intervalMs,
    filter: (infoHash, _params, callback) =>
      callback(options.isKnown(infoHash as InfoHash) ? null : new Error('unknown torrent')),
  })
  tracker.on('warning', () => {}) // a client's bad request; the client was told
  tracker.createSwarm = (infoHash, callback) => {
    // Two first announces at the same moment must end up in one swarm.
    const swarm = (tracker.torrents[infoHash] ??= createSwarm(infoHash))
    callback(null, swarm)
  }
  const createSwarm = (infoHash: string) =>
    withoutAnnouncer(new BittorrentTracker.Swarm(infoHash, tracker), {
      port: () => options.seederPort?.(infoHash as InfoHash),
      address: options.seederAddress,
    })
  return {
    handle(request, response) {
      response.setHeader('content-type', 'text/plain')
      response.setHeader('cache-control', 'no-store')
      tracker.onHttpRequest(request, response)
    },
    peerCount(infoHash) {
      const peers = tracker.torrents[infoHash]?.peers
      return peers?.keys.filter((key) => peers.peek(key) !== undefined).length ?? 0
    },
    forget(infoHash) {
      Reflect.deleteProperty(tracker.torrents, infoHash)
    },
    close: () => tracker.close(),
  }
}

/** The swarm with two changes to its answers: never the announcer, always the seeder beside us. */
function withoutAnnouncer(swarm: TrackerSwarm, seeder: SeederPlace): TrackerSwarm {
  const announce = swarm.announce.bind(swarm)
  swarm.announce = (params, callback) => {
    announce({ ...params, numwant: params.numwant + 1 }, (error, answer) =>
      answer === undefined
        ? callback(error)
        : callback(error, chooseAnswer(params, answer, findSeeder(params, seeder))),
    )
  }
  const scrape = swarm.scrape.bind(swarm)
  swarm.scrape = (params, callback) => {
    scrape(params, (error, counts) => {
      const ours = seeder.port() === undefined ? 0 : 1
      callback(error, counts && { ...counts, complete: counts.complete + ours })
    })
  }
  return swarm
}

function chooseAnswer(
  params: AnnounceParams,
  answer: AnnounceAnswer,
  seeder: SwarmPeer | undefined,
): AnnounceAnswer {
  const others = answer.peers.filter(
    (peer) => addressOf(peer) !== params.addr && (!seeder || addressOf(peer) !== addressOf(seeder)),
  )
  if (params.event === 'stopped') return { ...answer, peers: [] }
  const peers = seeder === undefined ? others : [seeder, ...others]
  return {
    ...answer,
    complete: answer.complete + (seeder === undefined ? 0 : 1),
    peers: peers.slice(0, params.numwant),
  }
}

interface SeederPlace {
  readonly port: () => number | undefined
  readonly address: string | undefined
}

function findSeeder(params: AnnounceParams, seeder: SeederPlace): SwarmPeer | undefined {
  const port = seeder.port()
  const ip = seeder.address ?? params.httpReq.socket.localAddress?.replace(/^::ffff:/, '')
  if (port === undefined || ip === undefined) return undefined
  return { type: 'http', complete: true, peerId: UNKNOWN_PEER_ID, ip, port }
}

/** As bittorrent-tracker spells AnnounceParams.addr. */
function addressOf(peer: SwarmPeer): string {
  return peer.ip.includes(':') ? `[${peer.ip}]:${peer.port}` : `${peer.ip}:${peer.port}`
}
