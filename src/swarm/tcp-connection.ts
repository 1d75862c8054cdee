// The connection whose socket lives on this thread: handshake, then messages. Invariant: what is
// received is decoded out of one fixed buffer shared by all connections of the thread (a read and its
// decoding happen in one go), so a connection costs no receive memory. Spec: BEP 3.
import { connect, Socket } from 'node:net'
import { SiError, type Clock } from '../core/core.ts'
import { formatEndpoint, type Connection, type ConnectionOwner, type Dial } from './connection.ts'
import { decodeHandshake, encodeHandshake, HANDSHAKE_BYTES, type Handshake } from './handshake.ts'
import {
  encodeMessage,
  WireDecoder,
  type WireLimits,
  type WireMessage,
  type WireSink,
} from './wire.ts'

/** Large enough to empty a socket in one read, small enough for the second-level cache. */
const RECEIVE_BUFFER_BYTES = 256 * 1024

/** One per thread: libuv fills it and calls back before it turns to another socket. */
const receiveBuffer = Buffer.allocUnsafeSlow(RECEIVE_BUFFER_BYTES)

/** What a peer that reads nothing may make us hold: the payload under way to it, and as much again. */
const MAX_UNSENT_BYTES = 4 * 2 ** 20

/** The kernel finds out about a machine that lost power this long after its last byte (and 10 s). */
const TCP_KEEPALIVE_MS = 5000

export class TcpConnection implements Connection {
  readonly isOutgoing: boolean
  readonly address: string
  #remoteHost: string
  readonly #clock: Clock
  readonly #socket: Socket
  #owner: ConnectionOwner
  #decoder: WireDecoder | undefined
  #handshake = Buffer.alloc(HANDSHAKE_BYTES)
  #handshakeBytes = 0
  #isClosed = false
  #error: Error | undefined
  #lastReceivedMs: number
  #lastSentMs: number

  private constructor(setup: ConnectionSetup) {
    this.isOutgoing = setup.isOutgoing
    this.#remoteHost = setup.host
    this.address = formatEndpoint(setup.host, setup.port)
    this.#clock = setup.clock
    this.#owner = setup.owner
    this.#lastReceivedMs = this.#lastSentMs = setup.clock.monotonicMs()
    const onread = {
      buffer: receiveBuffer,
      callback: (bytes: number) => {
        this.#receive(receiveBuffer.subarray(0, bytes))
        return true
      },
    }
    this.#socket = setup.open(onread, (chunk) => this.#receive(chunk))
    this.#socket.setNoDelay(true)
    this.#socket.setKeepAlive(true, TCP_KEEPALIVE_MS)
    this.#socket.on('connect', () => {
      this.#remoteHost = plainAddress(this.#socket.remoteAddress) ?? setup.host
    })
    this.#socket.on('error', (error) => (this.#error ??= error))
    this.#socket.on('end', () => this.close())
    this.#socket.on('close', () => this.#finish())
  }

  static readonly dial: Dial = (endpoint, owner, options) => {
    const open: ConnectionSetup['open'] = (onread) => {
      const socket = connect({ host: endpoint.host, port: endpoint.port, onread })
      socket.once('connect', options.onConnect)
      return socket
    }
    return new TcpConnection({ ...endpoint, owner, open, isOutgoing: true, clock: options.clock })
  }

  /** Takes over a socket that the listener accepted. */
  static accept(
    socket: Socket,
    owner: ConnectionOwner,
    options: { readonly clock: Clock },
  ): TcpConnection {
    const host = plainAddress(socket.remoteAddress) ?? 'unknown'
    const port = socket.remotePort ?? 0
    const open: ConnectionSetup['open'] = (onread, onChunk) => adoptSocket(socket, onread, onChunk)
    return new TcpConnection({ host, port, owner, open, isOutgoing: false, clock: options.clock })
  }

  setOwner(owner: ConnectionOwner): void {
    this.#owner = owner
  }

  startMessages(sink: WireSink, limits: WireLimits): void {
    this.#decoder = new WireDecoder(sink, limits)
  }

  sendHandshake(handshake: Handshake): void {
    this.#write(encodeHandshake(handshake))
  }

  send(message: WireMessage): void {
    this.#write(encodeMessage(message))
  }

  sendBuffers(buffers: readonly Uint8Array[], onSent: () => void): void {
    if (this.#isClosed) return onSent()
    const last = buffers.length - 1
    this.#lastSentMs = this.#clock.monotonicMs()
    this.#socket.cork()
    buffers.forEach((bytes, index) => {
      this.#socket.write(bytes, index === last ? () => onSent() : undefined)
    })
    this.#socket.uncork()
  }

  get remoteHost(): string {
    return this.#remoteHost
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  get silentMs(): number {
    return this.#clock.monotonicMs() - this.#lastReceivedMs
  }

  get unsentMs(): number {
    return this.#clock.monotonicMs() - this.#lastSentMs
  }

  close(error?: Error): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#error ??= error
    this.#decoder?.stop()
    this.#socket.destroy()
  }

  #write(bytes: Buffer): void {
    if (this.#isClosed) return
    this.#lastSentMs = this.#clock.monotonicMs()
    this.#socket.write(bytes)
    if (this.#socket.writableLength > MAX_UNSENT_BYTES) {
      this.close(new SiError('ERR_SI_PROTOCOL', 'Peer does not read what it is sent'))
    }
  }

  #receive(bytes: Uint8Array): void {
    if (this.#isClosed) return
    this.#lastReceivedMs = this.#clock.monotonicMs()
    try {
      const rest = this.#handshakeBytes < HANDSHAKE_BYTES ? this.#gatherHandshake(bytes) : bytes
      if (rest.length > 0) this.#decoder?.push(rest)
    } catch (error) {
      // A peer's fault closes its connection; a fault of ours must not be hidden behind that.
      if (!(error instanceof SiError)) throw error
      this.close(error)
    }
  }

  #gatherHandshake(bytes: Uint8Array): Uint8Array {
    const taken = Math.min(bytes.length, HANDSHAKE_BYTES - this.#handshakeBytes)
    this.#handshake.set(bytes.subarray(0, taken), this.#handshakeBytes)
    this.#handshakeBytes += taken
    if (this.#handshakeBytes === HANDSHAKE_BYTES) {
      this.#owner.onHandshake(decodeHandshake(this.#handshake))
    }
    return bytes.subarray(taken)
  }

  #finish(): void {
    this.#isClosed = true
    this.#owner.onClose(this.#error)
  }
}

type OnRead = { readonly buffer: Buffer; readonly callback: (bytes: number) => boolean }

interface ConnectionSetup {
  readonly host: string
  readonly port: number
  readonly owner: ConnectionOwner
  readonly clock: Clock
  readonly isOutgoing: boolean
  readonly open: (onread: OnRead, onChunk: (chunk: Buffer) => void) => Socket
}

/**
 * Accepted sockets cannot be given a receive buffer by any public option, so the handle moves to a new
 * Socket that has one. Should a Node version not allow that, the socket is used as it is, with a fresh
 * buffer for every read: slower, but the same bytes.
 */
function adoptSocket(socket: Socket, onread: OnRead, onChunk: (chunk: Buffer) => void): Socket {
  const accepted = socket as Socket & { _handle?: unknown }
  const handle = accepted._handle
  if (handle === null || typeof handle !== 'object' || !('useUserBuffer' in handle)) {
    return socket.on('data', onChunk)
  }
  accepted._handle = null
  socket.destroy() // settles the listener's count of open connections; the handle lives on
  const options: object = { handle, onread, readable: true, writable: true }
  const adopted = new Socket(options)
  adopted.resume()
  return adopted
}

/** An IPv4 address that an IPv6 socket was reached at is written as IPv4. */
function plainAddress(address: string | undefined): string | undefined {
  return address?.replace(/^::ffff:(?=\d+\.)/, '')
}
