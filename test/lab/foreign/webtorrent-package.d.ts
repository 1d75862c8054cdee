// The part of webtorrent 3 that we use; the package has no types of its own.
declare module 'webtorrent' {
  import type { EventEmitter } from 'node:events'

  export interface WebTorrentOptions {
    dht: boolean
    lsd: boolean
    utp: boolean
    natUpnp: boolean
    natPmp: boolean
    /** 0: plain, 1: connects encrypted and falls back to plain, 2: always encrypted. */
    secure: 0 | 1 | 2
  }

  export interface WebTorrentTorrent extends EventEmitter {
    readonly done: boolean
  }

  export default class WebTorrent extends EventEmitter {
    constructor(options: WebTorrentOptions)
    readonly torrentPort: number
    add(torrentPath: string, options: { path: string }): WebTorrentTorrent
    destroy(callback: () => void): void
  }
}
