// Sockets to peers: how they are opened and set up. Invariant: all have the same options and, where
// Node allows it, read into the buffer that their connection gives.
import { connect, Socket } from 'node:net'
import { type Clock } from '../../core/core.ts'
import { limitUnsent } from '../../host/host.ts'
import { type InfoHash } from '../../torrent/torrent.ts'
import { plainAddress, type Connection, type ConnectionOwner, type Dial } from './connection.ts'
import { type PeerGuard } from './peer-guard.ts'
import { descriptorOf } from './socket-descriptor.ts'
import { TcpConnection } from './tcp-connection.ts'
import { type SocketReader, type TlsTerms } from './tcp-setup.ts'

/** The kernel finds out about a machine that lost power this long after its last byte (and 10 s). */
const TCP_KEEPALIVE_MS = 5000

/**
 * What the kernel may hold unsent of one connection; the rest waits in our queue, where it can still be
 * cancelled, and pieces leave one after the other. Two milliseconds of a 1 Gbit/s link.
 */
const KERNEL_UNSENT_BYTES = 256 * 1024

export interface AcceptOptions {
  readonly clock: Clock
  /** Of our torrents: who greets encrypted tells only those that know it which one it wants. */
  readonly infoHashes: () => Iterable<InfoHash>
}

/** Where the sockets of a swarm live. */
export interface PeerSockets {
  readonly dial: Dial
  /** Takes over a socket that the listener accepted, paused. */
  accept(socket: Socket, owner: ConnectionOwner, options: AcceptOptions): Connection
  /** To be called when all connections are closed. Idempotent. */
  close(): Promise<void>
}

/** On this thread; with a guard, over TLS. */
export function createLocalSockets(guard?: PeerGuard): PeerSockets {
  const tls = guard && termsOf(guard)
  return {
    dial: (endpoint, owner, options) => dialPeer(endpoint, owner, { ...options, tls }),
    accept: (socket, owner, options) => acceptPeer(socket, owner, { ...options, tls }),
    close: () => Promise.resolve(),
  }
}

function termsOf(guard: PeerGuard): TlsTerms {
  return {
    context: () => guard.context,
    allowsPlain: guard.allowsPlain,
    onCertificates(connection, certificates) {
      guard.admit(connection, certificates)
      connection.letIn()
    },
    onGone: (connection) => guard.leave(connection),
  }
}

/** Connects to a peer; failure is told by `owner.onClose`. */
export function dialPeer(
  { host, port }: Parameters<Dial>[0],
  owner: ConnectionOwner,
  { clock, onConnect, tls }: Parameters<Dial>[2] & { readonly tls?: TlsTerms | undefined },
): TcpConnection {
  const open = ({ onread }: SocketReader) => {
    const socket = connect({ host, port, onread })
    return socket.once('connect', () => {
      setPeerOptions(socket)
      onConnect()
    })
  }
  return new TcpConnection({ host, port, owner, open, isOutgoing: true, clock, tls })
}

/** Takes over a socket that the listener accepted. */
function acceptPeer(
  socket: Socket,
  owner: ConnectionOwner,
  options: AcceptOptions & { readonly tls: TlsTerms | undefined },
): TcpConnection {
  return new TcpConnection({
    host: plainAddress(socket.remoteAddress) ?? 'unknown',
    port: socket.remotePort ?? 0,
    isOutgoing: false,
    ...{ owner, ...options },
    open: (reader) => {
      setPeerOptions(socket)
      return adoptSocket(socket, reader)
    },
  })
}

/** For a connected socket. */
export function setPeerOptions(socket: Socket): void {
  socket.setNoDelay(true)
  socket.setKeepAlive(true, TCP_KEEPALIVE_MS)
  const fd = descriptorOf(socket)
  if (fd !== undefined) limitUnsent(fd, KERNEL_UNSENT_BYTES)
}

/**
 * Accepted sockets cannot be given a receive buffer by any public option, so the handle moves to a new
 * Socket that has one. Should a Node version not allow that, the socket is used as it is, with a fresh
 * buffer for every read: slower, but the same bytes.
 */
function adoptSocket(socket: Socket, reader: SocketReader): Socket {
  const accepted = socket as Socket & { _handle?: unknown }
  const handle = accepted._handle
  if (handle === null || typeof handle !== 'object' || !('useUserBuffer' in handle)) {
    return socket.on('data', reader.onChunk)
  }
  accepted._handle = null
  socket.destroy() // settles the listener's count of open connections; the handle lives on
  const options: object = { handle, onread: reader.onread, readable: true, writable: true }
  const adopted = new Socket(options)
  adopted.resume()
  return adopted
}
