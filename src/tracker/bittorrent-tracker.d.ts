// The part of bittorrent-tracker 11 that we use; the package has no types of its own.
declare module 'bittorrent-tracker/server' {
  import type { EventEmitter } from 'node:events'
  import type { IncomingMessage, ServerResponse } from 'node:http'

  export interface SwarmPeer {
    type: 'http'
    complete: boolean
    /** 40 hexadecimal digits. */
    peerId: string
    ip: string
    port: number
  }

  export interface AnnounceParams {
    /** `ip:port` of the announcer, the key of its peer. */
    addr: string
    peer_id: string
    numwant: number
    event?: string
    compact: number
    httpReq: IncomingMessage
  }

  export interface AnnounceAnswer {
    complete: number
    incomplete: number
    peers: SwarmPeer[]
  }

  type Callback<T> = (error: Error | null, value?: T) => void

  export interface TrackerSwarm {
    complete: number
    incomplete: number
    peers: { keys: string[]; peek(key: string): SwarmPeer | undefined }
    announce(params: AnnounceParams, callback: Callback<AnnounceAnswer>): void
    scrape(params: unknown, callback: Callback<{ complete: number; incomplete: number }>): void
  }

  export default class Server extends EventEmitter {
    static Swarm: new (infoHash: string, server: Server) => TrackerSwarm
    constructor(options: {
      http: false
      udp: false
      ws: false
      stats: false
      interval: number
      peersCacheLength: number
      peersCacheTtl: number
      filter(infoHash: string, params: unknown, callback: (error: Error | null) => void): void
    })
    torrents: Record<string, TrackerSwarm>
    createSwarm(infoHash: string, callback: Callback<TrackerSwarm>): void
    onHttpRequest(request: IncomingMessage, response: ServerResponse): void
    close(callback?: () => void): void
  }
}
