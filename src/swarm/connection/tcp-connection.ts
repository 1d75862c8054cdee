// The connection whose socket lives on this thread: handshake, then messages. Invariant: what is
// received goes straight into the slab, or is decoded out of a fixed buffer shared by all connections of the
// thread (a read and its decoding happen in one go), so a connection costs no receive memory. Spec: BEP 3.
import { type Socket } from 'node:net'
import { SiError, type Clock } from '../../core/core.ts'
import { type InfoHash } from '../../torrent/torrent.ts'
import { type SlotPlace } from '../pieces/block-table.ts'
import { type Endpoint } from '../discovery/candidates.ts'
import {
  formatEndpoint,
  plainAddress,
  type Connection,
  type ConnectionOwner,
  type PayloadPart,
  type SendOptions,
} from './connection.ts'
import { Drain } from './drain.ts'
import { Encryption } from '../wire/encryption.ts'
import {
  decodeHandshake,
  encodeHandshake,
  HANDSHAKE_BYTES,
  type Handshake,
} from '../wire/handshake.ts'
import { Intake, type IntakeSlots, type PeerSink } from './intake.ts'
import { Outbox } from './outbox.ts'
import { type FileSpan } from '../pieces/store.ts'
import { type UploadBuffer } from '../pieces/upload-buffers.ts'
import {
  encodeMessages,
  WireDecoder,
  type BlockRange,
  type WireLimits,
  type WireMessage,
} from '../wire/wire.ts'

/** Small, since it only begins: what is left in the socket after it was filled is received by Drain. */
const RECEIVE_BUFFER_BYTES = 32 * 1024

/** One per thread: libuv fills it and calls back before it turns to another socket. */
const receiveBuffer = Buffer.allocUnsafeSlow(RECEIVE_BUFFER_BYTES)

/** What a peer that reads nothing may make us hold: the payload under way to it, and as much again. */
const MAX_UNSENT_BYTES = 4 * 2 ** 20

/** How a connection reads: into one buffer, or where that cannot be had, in chunks. */
export interface SocketReader {
  readonly onread: { readonly buffer: Buffer; readonly callback: (bytes: number) => boolean }
  readonly onChunk: (chunk: Buffer) => void
}

export interface TcpMessageOptions extends WireLimits {
  readonly slab: IntakeSlots | undefined
}

export interface TcpSetup extends Endpoint {
  readonly isOutgoing: boolean
  readonly owner: ConnectionOwner
  readonly clock: Clock
  /** Called once, at once. */
  readonly open: (reader: SocketReader) => Socket
  /** For connections made to us: what they begin with may be encrypted. */
  readonly infoHashes?: (() => Iterable<InfoHash>) | undefined
}

export class TcpConnection implements Connection {
  readonly isOutgoing: boolean
  readonly address: string
  #remoteHost: string
  readonly #clock: Clock
  readonly #socket: Socket
  readonly #outbox: Outbox
  #owner: ConnectionOwner
  #decoder: WireDecoder | undefined
  #intake: Intake | undefined
  #drain: Drain | undefined
  readonly #encryption: Encryption | undefined
  #handshake = Buffer.alloc(HANDSHAKE_BYTES)
  #handshakeBytes = 0
  #early: Buffer | undefined
  #isClosed = false
  #isPaused = false
  #error: Error | undefined
  #lastReceivedMs: number
  #lastSentMs: number

  constructor(setup: TcpSetup) {
    this.isOutgoing = setup.isOutgoing
    this.#remoteHost = setup.host
    this.address = formatEndpoint(setup.host, setup.port)
    this.#clock = setup.clock
    this.#owner = setup.owner
    this.#lastReceivedMs = this.#lastSentMs = setup.clock.monotonicMs()
    const { infoHashes } = setup
    const reply = (bytes: Buffer) => this.write(bytes)
    this.#encryption = infoHashes && new Encryption({ infoHashes, reply })
    const onread = {
      buffer: receiveBuffer,
      callback: (bytes: number) => {
        const mayLeaveMore = bytes === receiveBuffer.length
        this.#receive(receiveBuffer.subarray(0, bytes), mayLeaveMore)
        return true
      },
    }
    this.#socket = setup.open({ onread, onChunk: (chunk) => this.#receive(chunk) })
    this.#outbox = new Outbox(this.#socket, this.#encryption)
    this.#socket.on('connect', () => {
      this.#remoteHost = plainAddress(this.#socket.remoteAddress) ?? setup.host
    })
    this.#socket.on('error', (error) => (this.#error ??= error))
    this.#socket.on('end', () => this.close())
    this.#socket.on('close', () => this.#finish())
  }

  setOwner(owner: ConnectionOwner): void {
    this.#owner = owner
  }

  startMessages(sink: PeerSink, options: TcpMessageOptions): void {
    this.#intake = new Intake(sink, options.slab)
    this.#decoder = new WireDecoder(this.#intake, options)
    this.#drain = new Drain({
      ...{ socket: this.#socket, decoder: this.#decoder, intake: this.#intake },
      isStopped: () => this.#isClosed || this.#isPaused,
      isCiphering: () => this.#encryption?.isCiphering === true,
      decode: (bytes) => this.#decode(bytes),
    })
    const early = this.#early
    if (early === undefined) return
    this.#early = undefined
    queueMicrotask(() => {
      this.resume() // first: what comes of the messages may be a pause
      this.#receive(early)
    })
  }

  sendHandshake(handshake: Handshake): void {
    this.write(encodeHandshake(handshake))
  }

  send(...messages: readonly WireMessage[]): void {
    this.write(encodeMessages(messages))
  }

  request(range: BlockRange, place: SlotPlace | undefined): void {
    if (place !== undefined) this.#intake?.expect(range, place)
    this.send({ type: 'request', range })
  }

  sendPayload(buffer: UploadBuffer, parts: readonly PayloadPart[], options: SendOptions): void {
    this.#lastSentMs = this.#clock.monotonicMs()
    this.#outbox.sendPayload(buffer, parts, options)
  }

  sendFiles(head: BlockRange | undefined, spans: readonly FileSpan[], options: SendOptions): void {
    this.#lastSentMs = this.#clock.monotonicMs()
    this.#outbox.sendFiles(head, spans, options)
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
    this.#outbox.close()
    this.#socket.destroy()
  }

  /** Reads nothing more from the socket. */
  pause(): void {
    this.#isPaused = true
    this.#socket.pause()
  }

  resume(): void {
    this.#isPaused = false
    if (!this.#isClosed) this.#socket.resume()
  }

  /** Sends encoded messages; when a part of a piece message was sent, after its end. */
  write(bytes: Uint8Array): void {
    if (this.#isClosed) return
    this.#lastSentMs = this.#clock.monotonicMs()
    this.#outbox.write(bytes)
    if (this.#outbox.unsentBytes > MAX_UNSENT_BYTES) {
      this.close(new SiError('ERR_SI_PROTOCOL', 'Peer does not read what it is sent'))
    }
  }

  /** `mayLeaveMore`: no byte that came earlier than what the socket still holds is anywhere else. */
  #receive(received: Uint8Array, mayLeaveMore = false): void {
    if (this.#isClosed) return
    this.#lastReceivedMs = this.#clock.monotonicMs()
    try {
      this.#decode(received)
      if (mayLeaveMore) this.#drain?.run()
      this.#intake?.onDrained()
    } catch (error) {
      // A fault of the peer or the network closes the connection; ours must not be hidden behind that.
      if (!(error instanceof SiError) && !isReceiveError(error)) throw error
      this.close(error)
    }
  }

  #decode(received: Uint8Array): void {
    const bytes = this.#encryption?.receive(received) ?? received
    const rest = this.#handshakeBytes < HANDSHAKE_BYTES ? this.#gatherHandshake(bytes) : bytes
    if (rest.length === 0) return
    if (this.#decoder === undefined) this.#keepEarly(rest)
    else this.#decoder.push(rest)
  }

  /** Messages follow a handshake at once; they wait until it is known who is to have them. */
  #keepEarly(bytes: Uint8Array): void {
    if (this.#isClosed) return
    this.#early = Buffer.concat([this.#early ?? Buffer.alloc(0), bytes])
    this.pause()
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
    this.#outbox.close()
    this.#outbox.whenIdle(() => this.#owner.onClose(this.#error))
  }
}

/** Such as ECONNRESET. */
function isReceiveError(error: unknown): error is Error {
  return error instanceof Error && (error as NodeJS.ErrnoException).syscall === 'recv'
}
