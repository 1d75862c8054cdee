// The door of swarm: a listener and the torrents behind it. Invariant: this thread does network only; it
// never hashes, decompresses or touches a disk itself. Everything opened here is closed by close().
// Spec: BEP 3, 6, 10, 11, 12, 14, 23, 27; states in STATE.md.
import { SiError, systemClock, type Clock } from '../core/core.ts'
import { createTokenBucket, type TokenBucket } from '../throttle/throttle.ts'
import { type InfoHash } from '../torrent/torrent.ts'
import { type Connection } from './connection/connection.ts'
import { isLoopback } from './discovery/compact-peers.ts'
import { type Role } from './wire/extension.ts'
import { createSecureAnnounce } from './discovery/tracker-request.ts'
import { createLocalDiscovery, type LocalDiscovery } from './discovery/local-discovery.ts'
import { createPeerId, type Handshake } from './wire/handshake.ts'
import { createLanes } from './lanes/lanes.ts'
import { PeerListener } from './connection/listener.ts'
import { PeerGuard, type PeerSecurity } from './connection/peer-guard.ts'
import { createLocalSockets, type PeerSockets } from './connection/peer-socket.ts'
import { Refusals } from './connection/refusals.ts'
import { descriptorOf } from './connection/socket-descriptor.ts'
import { systemSurroundings, type Surroundings } from './surroundings.ts'
import { type AddTorrent, type Torrent } from './torrent-handle.ts'
import { TorrentSession } from './torrent-session.ts'
import { createUploadBuffers, type UploadBuffers } from './pieces/upload-buffers.ts'

export { type PeerSecurity } from './connection/peer-guard.ts'
export { Refusals } from './connection/refusals.ts'
export { type Role } from './wire/extension.ts'
export { createPiecePool, type PiecePool, type PiecePoolOptions } from './pieces/piece-pool.ts'
export { servePieces, type PieceHandlers } from './pieces/serve-pieces.ts'
export { createSlab, type Slab } from './pieces/slab.ts'
export { openFileStore, type FileSpan, type PieceStore } from './pieces/store.ts'
export {
  type AddTorrent,
  type PeerStats,
  type Torrent,
  type TorrentStats,
} from './torrent-handle.ts'

export interface SwarmOptions {
  /** Address to listen on; all of IPv6 and IPv4 when left out. */
  readonly host?: string
  /** 0 takes any free port. */
  readonly port: number
  readonly role: Role
  /** What trackers are told to call us at, when that is not where the announce comes from. */
  readonly announceAddress?: string
  /** Name of the rack this machine stands in, told to trackers, which prefer neighbours from it. */
  readonly rack?: string | undefined
  /** Finds peers of torrents that are not private by calls on the local network. Default: not. */
  readonly localDiscovery?: boolean | undefined
  /** Connections per torrent. Default 256 for a server, 32 for a node. */
  readonly maxPeers?: number
  /** Threads that own sockets, the calling one counted. Default 1. */
  readonly lanes?: number
  /** TLS with everybody. Left out: TLS with nobody. The swarm does not close the credentials. */
  readonly security?: PeerSecurity | undefined
  /** All torrents together; unlimited when left out. */
  readonly uploadBytesPerSecond?: number | undefined
  readonly downloadBytesPerSecond?: number | undefined
  readonly clock?: Clock
  /** Uniform in [0, 1); for tests. */
  readonly random?: () => number
  /** A line that an administrator may want to see. */
  readonly onNote?: (text: string) => void
}

export interface Swarm {
  readonly port: number
  /** Joins the swarm of a torrent. Throws ERR_SI_SWARM when it is in it already. */
  add(options: AddTorrent): Torrent
  /** Closes all torrents and the listener. Idempotent. */
  close(): Promise<void>
}

/** Memory for outgoing payload, all torrents and peers together: 32 x 1 MiB. */
export const UPLOAD_BUFFER_BYTES = 2 ** 20
export const UPLOAD_BUFFERS = 32

/** Connections of one torrent at a time, unless the caller says otherwise. */
export const MAX_PEERS: Readonly<Record<Role, number>> = { server: 256, node: 32 }

/** Below an upload limit, so that payload flows evenly: the least burst of a bucket. */
const LIMITED_BUFFER_BYTES = 256 * 1024

/** Listens. Throws ERR_SI_LISTEN when the port cannot be had. */
export async function createSwarm(options: SwarmOptions): Promise<Swarm> {
  const swarm = new ListeningSwarm(options)
  await swarm.listen()
  return swarm
}

class ListeningSwarm implements Swarm {
  readonly #options: SwarmOptions
  readonly #clock: Clock
  readonly #random: () => number
  readonly #peerId: string
  readonly #listener: PeerListener
  readonly #torrents = new Map<InfoHash, TorrentSession>()
  readonly #uploadBuffers: UploadBuffers
  readonly #uploadLimit: TokenBucket | undefined
  readonly #downloadLimit: TokenBucket | undefined
  readonly #guard: PeerGuard | undefined
  readonly #refusals: Refusals
  #sockets: PeerSockets
  #local: LocalDiscovery | undefined
  #port = 0
  #closed: Promise<void> | undefined

  constructor(options: SwarmOptions) {
    this.#options = options
    this.#clock = options.clock ?? systemClock
    this.#random = options.random ?? Math.random
    this.#peerId = createPeerId(this.#random)
    this.#uploadLimit = this.#createLimit(options.uploadBytesPerSecond)
    this.#downloadLimit = this.#createLimit(options.downloadBytesPerSecond)
    const isLimited = this.#uploadLimit !== undefined
    this.#uploadBuffers = createUploadBuffers({
      bufferBytes: isLimited ? LIMITED_BUFFER_BYTES : UPLOAD_BUFFER_BYTES,
      buffers: UPLOAD_BUFFERS,
      clock: this.#clock,
    })
    const { security } = options
    const onNote = (text: string) => this.#note(text)
    this.#guard = security && new PeerGuard(security, onNote)
    this.#refusals = new Refusals('peer', { clock: this.#clock, onNote })
    this.#sockets = createLocalSockets(this.#guard)
    this.#listener = new PeerListener({
      ...{ host: options.host, port: options.port, clock: this.#clock },
      sockets: () => this.#sockets,
      infoHashes: () => this.#torrents.keys(),
      onHandshake: (connection, handshake) => this.#onHandshake(connection, handshake),
      onRefused: (address, error) => this.#refusals.add(address, error),
      onNote,
    })
  }

  #createLimit(bytesPerSecond: number | undefined): TokenBucket | undefined {
    if (bytesPerSecond === undefined) return undefined
    return createTokenBucket({ bytesPerSecond, clock: this.#clock })
  }

  get port(): number {
    return this.#port
  }

  async listen(): Promise<void> {
    const { lanes = 1, localDiscovery } = this.#options
    const { address, port } = await this.#listener.listen()
    this.#port = port
    if (localDiscovery) await this.#discoverLocally(address)
    if (lanes > 1) this.#startLanes(lanes)
  }

  /** Lanes are handed sockets by descriptor. */
  #startLanes(count: number): void {
    if (descriptorOf(this.#listener.server) === undefined) {
      return this.#note('This Node does not tell the descriptors of sockets: one lane is used')
    }
    const onNote = (text: string) => this.#note(text)
    const guard = this.#guard
    this.#sockets = createLanes({ count, uploads: this.#uploadBuffers, onNote, guard })
  }

  async #discoverLocally(host: string): Promise<void> {
    if (isLoopback(host)) return
    this.#local = await createLocalDiscovery({
      ...{ host, listenPort: this.#port },
      ...{ clock: this.#clock, random: this.#random },
      onNote: (text) => this.#note(text),
    })
  }

  #note(text: string): void {
    this.#options.onNote?.(text)
  }

  add(options: AddTorrent): Torrent {
    const { infoHash, name } = options.metainfo
    if (this.#closed !== undefined) throw new SiError('ERR_SI_ABORTED', 'The swarm was closed')
    if (this.#torrents.has(infoHash)) {
      throw new SiError('ERR_SI_SWARM', `Cannot add torrent "${name}": it is in the swarm already`)
    }
    const { role, announceAddress, rack } = this.#options
    const session = new TorrentSession(options, {
      ...{ role, announceAddress, rack, peerId: this.#peerId, listenPort: this.#port },
      ...{ clock: this.#clock, random: this.#random, uploadBuffers: this.#uploadBuffers },
      ...{ uploadLimit: this.#uploadLimit, downloadLimit: this.#downloadLimit },
      surroundings: this.#surroundings,
      localDiscovery: this.#local,
      maxPeers: this.#options.maxPeers ?? MAX_PEERS[role],
      onNote: (text) => this.#note(text),
      onClosed: () => this.#torrents.delete(infoHash),
    })
    this.#torrents.set(infoHash, session)
    return session
  }

  get #surroundings(): Surroundings {
    const { security } = this.#options
    return {
      ...systemSurroundings,
      dial: this.#sockets.dial,
      onRefused: (address, error) => this.#refusals.add(address, error),
      ...(security && { announce: createSecureAnnounce(security) }),
    }
  }

  close(): Promise<void> {
    this.#closed ??= this.#shutDown()
    return this.#closed
  }

  async #shutDown(): Promise<void> {
    const listenerClosed = this.#listener.close()
    await Promise.all([...this.#torrents.values()].map((torrent) => torrent.close()))
    await this.#local?.close()
    await listenerClosed
    await this.#sockets.close()
    this.#guard?.close()
  }

  #onHandshake(connection: Connection, handshake: Handshake): void {
    const torrent = this.#torrents.get(handshake.infoHash)
    if (torrent === undefined) connection.close()
    else torrent.accept(connection, handshake)
  }
}
