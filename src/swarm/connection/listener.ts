// The port that peers call, and connections that have not said yet which torrent they want. Invariant:
// these are bounded in number and in time, and end with close(). Spec: BEP 3.
import { createServer, type Server, type Socket } from 'node:net'
import { errnoOf, listenError, type Clock } from '../../core/core.ts'
import { type InfoHash } from '../../torrent/torrent.ts'
import { type Connection } from './connection.ts'
import { type Handshake } from '../wire/handshake.ts'
import { type PeerSockets } from './peer-socket.ts'

const HANDSHAKE_TIMEOUT_MS = 10_000

/**
 * Connections that have not said yet what they want, a TLS handshake included. The oldest of the host that has most of
 * them makes room, as it is the slowest: one host's flood is its own loss.
 */
const MAX_UNKNOWN = 64

/** When hundreds of machines start at once, all of them are new: none gives way before this. */
const GRACE_MS = 1000

/** However new they are. */
const MAX_UNKNOWN_AND_NEW = 512

export interface ListenerOptions {
  /** All of IPv6 and IPv4 when left out. */
  readonly host: string | undefined
  readonly port: number
  readonly clock: Clock
  /** Who takes accepted sockets over. */
  readonly sockets: () => PeerSockets
  readonly infoHashes: () => Iterable<InfoHash>
  readonly onHandshake: (connection: Connection, handshake: Handshake) => void
  /** A connection ended before it had said what it wants. */
  readonly onRefused: (address: string, error: Error) => void
  readonly onNote: (text: string) => void
}

export class PeerListener {
  readonly #options: ListenerOptions
  readonly #server: Server
  /** With the time of their arrival, in the order of it. */
  readonly #unknown = new Map<Connection, number>()
  #closed: Promise<void> | undefined

  constructor(options: ListenerOptions) {
    this.#options = options
    this.#server = createServer({ pauseOnConnect: true, noDelay: true })
    this.#server.on('connection', (socket) => this.#onConnection(socket))
  }

  get server(): Server {
    return this.#server
  }

  /** Throws ERR_SI_LISTEN when the port cannot be had. */
  async listen(): Promise<{ readonly address: string; readonly port: number }> {
    const { host, port } = this.#options
    const place = { what: 'for peers', host: host ?? 'any address', port }
    try {
      await this.#tryListen(host ?? '::')
    } catch (error) {
      // A kernel without IPv6.
      const hasNoIpv6 = ['EAFNOSUPPORT', 'EADDRNOTAVAIL'].includes(errnoOf(error) ?? '')
      if (host !== undefined || !hasNoIpv6) throw listenError(error, place)
      await this.#tryListen('0.0.0.0').catch((again: unknown) => {
        throw listenError(again, place)
      })
    }
    this.#server.on('error', (error) => this.#options.onNote(`Listener: ${error.message}`))
    const address = this.#server.address()
    return typeof address === 'object' && address !== null ? address : { address: '', port: 0 }
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

  /** Accepts nobody any more and hangs up on those that have not said what they want. Idempotent. */
  close(): Promise<void> {
    this.#closed ??= new Promise((resolve) => this.#server.close(() => resolve()))
    for (const connection of this.#unknown.keys()) connection.close()
    return this.#closed
  }

  #onConnection(socket: Socket): void {
    if (this.#closed !== undefined) {
      socket.destroy()
      return
    }
    const { clock, sockets, infoHashes, onHandshake } = this.#options
    this.#makeRoom(clock.monotonicMs())
    const connection = sockets().accept(
      socket,
      {
        onHandshake: (handshake) => {
          forget()
          onHandshake(connection, handshake)
        },
        onClose: (error) => {
          forget()
          if (error !== undefined) this.#options.onRefused(connection.address, error)
        },
      },
      { clock, infoHashes },
    )
    const cancel = clock.schedule(HANDSHAKE_TIMEOUT_MS, () => connection.close())
    const forget = () => {
      cancel()
      this.#unknown.delete(connection)
    }
    this.#unknown.set(connection, clock.monotonicMs())
  }

  #makeRoom(nowMs: number): void {
    if (this.#unknown.size < MAX_UNKNOWN) return
    const byHost = Map.groupBy(this.#unknown, ([{ remoteHost }]) => remoteHost)
    const most = [...byHost.values()].reduce((a, b) => (b.length > a.length ? b : a), [])
    const [oldest, sinceMs] = most[0] ?? []
    if (oldest === undefined || sinceMs === undefined) return
    if (nowMs - sinceMs < GRACE_MS && this.#unknown.size < MAX_UNKNOWN_AND_NEW) return
    this.#unknown.delete(oldest)
    oldest.close()
  }
}
