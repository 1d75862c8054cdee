// The part of bittorrent-tracker 11 that we use; the package has no types of its own.
declare module 'bittorrent-tracker/server' {
  import type { EventEmitter } from 'node:events'
  import type { IncomingMessage, ServerResponse } from 'node:http'

  export interface SwarmPeer {
    /** 40 hexadecimal digits. */
    readonly peerId: string
    readonly ip: string
    readonly port: number
  }

  export interface AnnounceParams extends Readonly<Record<string, unknown>> {
    /** `ip:port` of the announcer, with brackets around IPv6. */
    readonly addr: string
    readonly ip: string
    readonly port: number
    /** 40 hexadecimal digits. */
    readonly peer_id: string
    /** Infinity when the client did not say. */
    readonly left: number
    /** At most 82; may be negative. */
    readonly numwant: number
    /** `update` for the regular one; otherwise whatever the client sent. */
    readonly event: unknown
    readonly httpReq: IncomingMessage
  }

  export interface AnnounceAnswer {
    readonly complete: number
    readonly incomplete: number
    readonly peers: readonly SwarmPeer[]
  }

  type Callback<T> = (error: Error | null, value?: T) => void

  /** What the server asks of a swarm; answers are its own to change. */
  export interface TrackerSwarm {
    announce(params: AnnounceParams, callback: Callback<AnnounceAnswer>): void
    scrape(params: unknown, callback: Callback<{ complete: number; incomplete: number }>): void
  }

  export default class Server<Swarm extends TrackerSwarm> extends EventEmitter {
    constructor(options: {
      http: false
      udp: false
      ws: false
      stats: false
      interval: number
      filter(infoHash: string, params: unknown, callback: (error: Error | null) => void): void
    })
    torrents: Record<string, Swarm>
    createSwarm(infoHash: string, callback: Callback<Swarm>): void
    onHttpRequest(request: IncomingMessage, response: ServerResponse): void
    close(callback?: () => void): void
  }
}
