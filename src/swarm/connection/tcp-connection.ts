// The connection whose socket lives on this thread: handshake, then messages. Invariant: what is
// received goes straight into the slab, or is decoded out of a fixed buffer shared by all connections of the
// thread (a read and its decoding happen in one go), so a connection costs no receive memory; where TLS is asked for,
// nothing is sent or decoded before the other side was let in. Spec: BEP 3.
import { type Socket } from 'node:net'
import { SiError, type Clock } from '../../core/core.ts'
import { type SlotPlace } from '../pieces/block-table.ts'
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
import { Intake, type PeerSink } from './intake.ts'
import { hungUp, startTls } from './tls-socket.ts'
import {
  type SocketReader,
  type TcpMessageOptions,
  type TcpSetup,
  type TlsTerms,
} from './tcp-setup.ts'
import { Outbox, type Cipher } from './outbox.ts'
import { type FileSpan } from '../pieces/store.ts'
import { type UploadBuffer } from '../pieces/upload-buffers.ts'
import { encodeMessages, WireDecoder, type BlockRange, type WireMessage } from '../wire/wire.ts'

/** Small, since it only begins: what is left in the socket after it was filled is received by Drain. */
const RECEIVE_BUFFER_BYTES = 32 * 1024

/** One per thread: libuv fills it and calls back before it turns to another socket. */
const receiveBuffer = Buffer.allocUnsafeSlow(RECEIVE_BUFFER_BYTES)

/** What a peer that reads nothing may make us hold: the payload under way to it, and as much again. */
const MAX_UNSENT_BYTES = 4 * 2 ** 20

/** The first byte of whoever begins with TLS (RFC 8446, handshake record); no BitTorrent handshake begins so. */
const TLS_HANDSHAKE = 0x16

/** TLSSocket does the work. Neither the kernel nor we may touch what goes over the descriptor. */
const TLS_CIPHER: Cipher = { isCiphering: true, send: (bytes) => bytes }

export class TcpConnection implements Connection {
  readonly isOutgoing: boolean
  readonly address: string
  #remoteHost: string
  readonly #clock: Clock
  readonly #reader: SocketReader
  readonly #tls: TlsTerms | undefined
  #socket: Socket
  #outbox: Outbox
  #isTls = false
  /** Bytes are those of the protocol; before that, of nobody knows whom. */
  #isOpen: boolean
  /** Until then: what is to be sent, what has come. */
  readonly #unsent: Uint8Array[] = []
  #unread: Buffer | undefined
  #owner: ConnectionOwner
  #decoder: WireDecoder | undefined
  #intake: Intake | undefined
  #drain: Drain | undefined
  #encryption: Encryption | undefined
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
    this.#reader = { onread, onChunk: (chunk) => this.#receive(chunk) }
    this.#tls = setup.tls
    this.#isOpen = setup.tls === undefined
    this.#socket = setup.open(this.#reader)
    this.#outbox = new Outbox(this.#socket, this.#encryption)
    this.#socket.on('connect', () => {
      this.#remoteHost = plainAddress(this.#socket.remoteAddress) ?? setup.host
    })
    this.#watch(this.#socket)
    if (setup.tls === undefined || !setup.isOutgoing) return
    const begin = () => this.#startTls(setup.tls)
    if (this.#socket.connecting) this.#socket.once('connect', begin)
    else begin()
  }

  #watch(socket: Socket): void {
    const isOurs = () => this.#socket === socket // TLS takes the place of what it runs over
    socket.on('error', (error) => (this.#error ??= error))
    socket.on(
      'end',
      () => isOurs() && this.close(this.#isTls && !this.#isOpen ? hungUp() : undefined),
    )
    socket.on('close', () => isOurs() && this.#finish())
  }

  #startTls(terms: TlsTerms | undefined, early?: Buffer): void {
    if (terms === undefined || this.#isClosed) return
    const raw = this.#socket.pause()
    raw.removeAllListeners('data')
    if (early !== undefined) raw.unshift(early)
    this.#isTls = true
    this.#encryption = undefined
    this.#socket = startTls(raw, {
      ...{ context: terms.context(), isServer: !this.isOutgoing, reader: this.#reader },
      onSecure: (certificates) => {
        this.#guarded(() => terms.onCertificates(this, certificates))
      },
      onFailure: (error) => this.close(error),
    })
    this.#outbox = new Outbox(this.#socket, TLS_CIPHER)
    this.#watch(this.#socket)
  }

  /** The other side is whom we want to talk to. */
  letIn(): void {
    if (this.#isOpen || this.#isClosed) return
    this.#isOpen = true
    for (const bytes of this.#unsent.splice(0)) this.write(bytes)
    const unread = this.#unread
    this.#unread = undefined
    if (unread !== undefined) this.#receive(unread)
  }

  setOwner(owner: ConnectionOwner): void {
    this.#owner = owner
  }

  startMessages(sink: PeerSink, options: TcpMessageOptions): void {
    this.#intake = new Intake(sink, options.slab)
    this.#decoder = new WireDecoder(this.#intake, options)
    this.#drain = this.#createDrain(this.#decoder, this.#intake)
    const early = this.#early
    if (early === undefined) return
    this.#early = undefined
    queueMicrotask(() => {
      this.resume() // first: what comes of the messages may be a pause
      this.#receive(early)
    })
  }

  /** Under TLS only OpenSSL may read from the descriptor. */
  #createDrain(decoder: WireDecoder, intake: Intake): Drain | undefined {
    if (this.#isTls) return undefined
    return new Drain({
      ...{ socket: this.#socket, decoder, intake },
      isStopped: () => this.#isClosed || this.#isPaused,
      isCiphering: () => this.#encryption?.isCiphering === true,
      decode: (bytes) => this.#decode(bytes),
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
    if (!this.#isOpen) return void this.#unsent.push(bytes)
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
    if (!this.#isOpen) return this.#wait(received)
    this.#guarded(() => {
      this.#decode(received)
      if (mayLeaveMore) this.#drain?.run()
      this.#intake?.onDrained()
    })
  }

  /** The first bytes of who called us, or what has come before we know who it is: a read's worth. */
  #wait(received: Uint8Array): void {
    const terms = this.#tls
    if (this.#isTls) {
      this.#unread = Buffer.concat([this.#unread ?? Buffer.alloc(0), received])
    } else if (received[0] === TLS_HANDSHAKE) {
      this.#startTls(terms, Buffer.from(received))
    } else if (terms?.allowsPlain === true) {
      this.letIn()
      this.#receive(received)
    } else {
      const what = 'it does not use TLS, which this swarm asks for: start it with --tls'
      this.close(new SiError('ERR_SI_UNTRUSTED', what))
    }
  }

  #guarded(act: () => void): void {
    try {
      act()
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
    this.#tls?.onGone(this)
    this.#outbox.close()
    this.#outbox.whenIdle(() => this.#owner.onClose(this.#error))
  }
}

/** Such as ECONNRESET. */
function isReceiveError(error: unknown): error is Error {
  return error instanceof Error && (error as NodeJS.ErrnoException).syscall === 'recv'
}
