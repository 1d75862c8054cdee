// The door of swarm: a listener and the torrents behind it. Invariant: this thread does network only; it
// never hashes, decompresses or touches a disk itself. Everything opened here is closed by close().
// Spec: BEP 3, 6, 10, 11, 12, 14, 23, 27; states in STATE.md.
import { createServer, type Server, type Socket } from 'node:net'
import { errnoOf, listenError, SiError, systemClock, type Clock } from '../core/core.ts'
import { createTokenBucket, type TokenBucket } from '../throttle/throttle.ts'
import { type InfoHash } from '../torrent/torrent.ts'
import { type Connection } from './connection.ts'
import { isLoopback } from './compact-peers.ts'
import { type Role } from './extension.ts'
import { createLocalDiscovery, type LocalDiscovery } from './local-discovery.ts'
import { createPeerId, type Handshake } from './handshake.ts'
import { acceptPeer } from './peer-socket.ts'
import { systemSurroundings } from './surroundings.ts'
import { type AddTorrent, type Torrent } from './torrent-handle.ts'
import { TorrentSession } from './torrent-session.ts'
import { createUploadBuffers, type UploadBuffers } from './upload-buffers.ts'

export { type Role } from './extension.ts'
export { createPiecePool, type PiecePool, type PiecePoolOptions } from './piece-pool.ts'
export { servePieces, type PieceHandlers } from './serve-pieces.ts'
export { createSlab, type Slab } from './slab.ts'
export { openFileStore, type PieceStore } from './store.ts'
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

const HANDSHAKE_TIMEOUT_MS = 10_000

/** Connections that have not said yet what they want; the oldest makes room, as it is the slowest. */
const MAX_UNKNOWN = 64

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
  readonly #server: Server
  readonly #torrents = new Map<InfoHash, TorrentSession>()
  readonly #unknown = new Set<Connection>()
  readonly #uploadBuffers: UploadBuffers
  readonly #uploadLimit: TokenBucket | undefined
  readonly #downloadLimit: TokenBucket | undefined
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
    })
    this.#server = createServer({ pauseOnConnect: true, noDelay: true })
    this.#server.on('connection', (socket) => this.#onConnection(socket))
  }

  #createLimit(bytesPerSecond: number | undefined): TokenBucket | undefined {
    if (bytesPerSecond === undefined) return undefined
    return createTokenBucket({ bytesPerSecond, clock: this.#clock })
  }

  get port(): number {
    return this.#port
  }

  async listen(): Promise<void> {
    try {
      await this.#tryListen(this.#options.host ?? '::')
    } catch (error) {
      // A kernel without IPv6.
      const hasNoIpv6 = ['EAFNOSUPPORT', 'EADDRNOTAVAIL'].includes(errnoOf(error) ?? '')
      if (this.#options.host !== undefined || !hasNoIpv6) throw listenError(error, this.#place)
      await this.#tryListen('0.0.0.0').catch((again: unknown) => {
        throw listenError(again, this.#place)
      })
    }
    const address = this.#server.address()
    this.#port = typeof address === 'object' && address !== null ? address.port : 0
    this.#server.on('error', (error) => this.#options.onNote?.(`Listener: ${error.message}`))
    if (this.#options.localDiscovery) await this.#discoverLocally()
  }

  async #discoverLocally(): Promise<void> {
    const address = this.#server.address()
    if (typeof address !== 'object' || address === null || isLoopback(address.address)) return
    this.#local = await createLocalDiscovery({
      ...{ host: address.address, listenPort: this.#port },
      ...{ clock: this.#clock, random: this.#random },
      onNote: this.#options.onNote ?? (() => {}),
    })
  }

  get #place() {
    const { host = 'any address', port } = this.#options
    return { what: 'for peers', host, port }
  }

  #tryListen(host: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen({ host, port: this.#options.port }, () => {
        this.#server.off('error', reject)
        resolve()
      })
    })
  }

  add(options: AddTorrent): Torrent {
    const { infoHash, name } = options.metainfo
    if (this.#closed !== undefined) throw new SiError('ERR_SI_ABORTED', 'The swarm was closed')
    if (this.#torrents.has(infoHash)) {
      throw new SiError('ERR_SI_SWARM', `Cannot add torrent "${name}": it is in the swarm already`)
    }
    const { role, announceAddress, rack, onNote } = this.#options
    const session = new TorrentSession(options, {
      ...{ role, announceAddress, rack, peerId: this.#peerId, listenPort: this.#port },
      ...{ clock: this.#clock, random: this.#random, uploadBuffers: this.#uploadBuffers },
      ...{ uploadLimit: this.#uploadLimit, downloadLimit: this.#downloadLimit },
      ...{ surroundings: systemSurroundings, localDiscovery: this.#local },
      maxPeers: this.#options.maxPeers ?? MAX_PEERS[role],
      onNote: onNote ?? (() => {}),
      onClosed: () => this.#torrents.delete(infoHash),
    })
    this.#torrents.set(infoHash, session)
    return session
  }

  close(): Promise<void> {
    this.#closed ??= this.#shutDown()
    return this.#closed
  }

  async #shutDown(): Promise<void> {
    const listenerClosed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    for (const connection of this.#unknown) connection.close()
    await Promise.all([...this.#torrents.values()].map((torrent) => torrent.close()))
    await this.#local?.close()
    await listenerClosed
  }

  #onConnection(socket: Socket): void {
    if (this.#closed !== undefined) {
      socket.destroy()
      return
    }
    const [oldest] = this.#unknown
    if (oldest !== undefined && this.#unknown.size >= MAX_UNKNOWN) {
      this.#unknown.delete(oldest)
      oldest.close()
    }
    const connection = acceptPeer(
      socket,
      {
        onHandshake: (handshake) => {
          forget()
          this.#onHandshake(connection, handshake)
        },
        onClose: () => forget(),
      },
      { clock: this.#clock, infoHashes: () => this.#torrents.keys() },
    )
    const cancel = this.#clock.schedule(HANDSHAKE_TIMEOUT_MS, () => connection.close())
    const forget = () => {
      cancel()
      this.#unknown.delete(connection)
    }
    this.#unknown.add(connection)
  }

  #onHandshake(connection: Connection, handshake: Handshake): void {
    const torrent = this.#torrents.get(handshake.infoHash)
    if (torrent === undefined) connection.close()
    else torrent.accept(connection, handshake)
  }
}
