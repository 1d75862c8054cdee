// The tracker of the simulation: the real list of peers and the real choice of neighbours, asked without
// HTTP. A reply comes one round trip after the question.
import { type IncomingMessage } from 'node:http'
import { type AnnounceParams } from 'bittorrent-tracker/server'
import { type Endpoint } from '../../src/swarm/discovery/candidates.ts'
import { type Surroundings } from '../../src/swarm/surroundings.ts'
import { TrackedSwarm } from '../../src/tracker/tracked-swarm.ts'
import { type VirtualTime } from './virtual-time.ts'

export interface SimTrackerOptions {
  readonly time: VirtualTime
  readonly random: () => number
  readonly latencyMs: number
  readonly intervalMs: number
  readonly server: Endpoint
}

/** A node counts as gone after so many intervals of silence; in the simulation none goes. */
const INTERVALS_UNTIL_GONE = 3

export interface SimTracker {
  /** How the machine of that name asks it. */
  announceFrom(host: string): Surroundings['announce']
}

export function createSimTracker(options: SimTrackerOptions): SimTracker {
  const { time, random, intervalMs, server } = options
  const seeder = { peerId: '', ip: server.host, port: server.port }
  const swarm = new TrackedSwarm({
    ...{ clock: time, random, silenceMs: INTERVALS_UNTIL_GONE * intervalMs },
    seederFor: () => seeder,
    hasSeeder: () => true,
  })
  return {
    announceFrom: (host) => (_url, announce) =>
      new Promise((resolve, reject) => {
        time.after(2 * options.latencyMs, () => {
          time.expectPromises()
          swarm.announce(paramsOf(host, announce), (error, answer) => {
            if (error !== null) return reject(error)
            const peers = (answer?.peers ?? []).map(({ ip, port }) => ({ host: ip, port }))
            resolve({ intervalMs, minIntervalMs: undefined, warning: undefined, peers })
          })
        })
      }),
  }
}

function paramsOf(host: string, announce: Parameters<Surroundings['announce']>[1]): AnnounceParams {
  return {
    addr: `${host}:${announce.port}`,
    ip: host,
    port: announce.port,
    peer_id: announce.peerId,
    left: announce.leftBytes,
    numwant: announce.peersWanted,
    event: announce.event ?? 'update',
    rack: announce.rack,
    httpReq: {} as IncomingMessage,
  }
}
