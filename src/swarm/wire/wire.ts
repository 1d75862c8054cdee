// The messages between peers, pure: values to bytes, bytes to values. Invariant: a message is refused
// by its length prefix alone, and the payload of a piece message is handed on in fragments as it
// arrives, so the decoder never holds more than one control message. Spec: BEP 3, 6, 10.
import { SiError } from '../../core/core.ts'

/** Part of a piece, as requested, cancelled, rejected or sent. */
export interface BlockRange {
  readonly pieceIndex: number
  readonly offsetBytes: number
  readonly lengthBytes: number
}

export function isSameRange(a: BlockRange, b: BlockRange): boolean {
  return (
    a.pieceIndex === b.pieceIndex &&
    a.offsetBytes === b.offsetBytes &&
    a.lengthBytes === b.lengthBytes
  )
}

/** Every message but piece messages, which WireSink receives as a stream. */
export type WireMessage =
  | { readonly type: 'keep-alive' }
  | { readonly type: 'choke' }
  | { readonly type: 'unchoke' }
  | { readonly type: 'interested' }
  | { readonly type: 'not-interested' }
  | { readonly type: 'have-all' }
  | { readonly type: 'have-none' }
  | { readonly type: 'have'; readonly pieceIndex: number }
  | { readonly type: 'suggest'; readonly pieceIndex: number }
  | { readonly type: 'allowed-fast'; readonly pieceIndex: number }
  /** `bytes` is a copy that belongs to the receiver. */
  | { readonly type: 'bitfield'; readonly bytes: Uint8Array }
  | { readonly type: 'request'; readonly range: BlockRange }
  | { readonly type: 'cancel'; readonly range: BlockRange }
  | { readonly type: 'reject'; readonly range: BlockRange }
  | { readonly type: 'port'; readonly port: number }
  /** `payload` is a copy; id 0 is the handshake of BEP 10. */
  | { readonly type: 'extended'; readonly id: number; readonly payload: Uint8Array }

type Signal = 'choke' | 'unchoke' | 'interested' | 'not-interested' | 'have-all' | 'have-none'
type Announcement = 'have' | 'suggest' | 'allowed-fast'
type Ranged = 'request' | 'cancel' | 'reject'

const SIGNALS: ReadonlyMap<number, Signal> = new Map([
  [0, 'choke'],
  [1, 'unchoke'],
  [2, 'interested'],
  [3, 'not-interested'],
  [14, 'have-all'],
  [15, 'have-none'],
])
const ANNOUNCEMENTS: ReadonlyMap<number, Announcement> = new Map([
  [4, 'have'],
  [13, 'suggest'],
  [17, 'allowed-fast'],
])
const RANGED: ReadonlyMap<number, Ranged> = new Map([
  [6, 'request'],
  [8, 'cancel'],
  [16, 'reject'],
])
const ID_OF: ReadonlyMap<string, number> = new Map(
  [...SIGNALS, ...ANNOUNCEMENTS, ...RANGED].map(([id, type]) => [type, id]),
)
const ID_BITFIELD = 5
const ID_PIECE = 7
const ID_PORT = 9
const ID_EXTENDED = 20

const LENGTH_BYTES = 4
/** Before the payload of a piece message: length, id, piece and offset. */
export const PIECE_HEAD_BYTES = 13
const RANGED_LENGTH = 13

/** Message → bytes, length prefix included. */
export function encodeMessage(message: WireMessage): Buffer {
  switch (message.type) {
    case 'keep-alive':
      return Buffer.alloc(LENGTH_BYTES)
    case 'choke':
    case 'unchoke':
    case 'interested':
    case 'not-interested':
    case 'have-all':
    case 'have-none':
      return frame(idOf(message.type), 0)
    case 'have':
    case 'suggest':
    case 'allowed-fast': {
      const bytes = frame(idOf(message.type), 4)
      bytes.writeUInt32BE(message.pieceIndex, 5)
      return bytes
    }
    case 'bitfield':
      return frameAround(ID_BITFIELD, message.bytes)
    case 'request':
    case 'cancel':
    case 'reject': {
      const bytes = frame(idOf(message.type), 12)
      bytes.writeUInt32BE(message.range.pieceIndex, 5)
      bytes.writeUInt32BE(message.range.offsetBytes, 9)
      bytes.writeUInt32BE(message.range.lengthBytes, 13)
      return bytes
    }
    case 'port': {
      const bytes = frame(ID_PORT, 2)
      bytes.writeUInt16BE(message.port, 5)
      return bytes
    }
    case 'extended':
      return frameAround(ID_EXTENDED, Buffer.concat([Buffer.of(message.id), message.payload]))
    default:
      return message satisfies never
  }
}

/** The 13 bytes that stand before the payload of a piece message. */
export function encodePieceHead(range: BlockRange): Buffer {
  const bytes = Buffer.allocUnsafe(PIECE_HEAD_BYTES)
  bytes.writeUInt32BE(9 + range.lengthBytes, 0)
  bytes[4] = ID_PIECE
  bytes.writeUInt32BE(range.pieceIndex, 5)
  bytes.writeUInt32BE(range.offsetBytes, 9)
  return bytes
}

function idOf(type: string): number {
  return ID_OF.get(type) ?? 0
}

function frame(id: number, bodyBytes: number): Buffer {
  const bytes = Buffer.alloc(LENGTH_BYTES + 1 + bodyBytes)
  bytes.writeUInt32BE(1 + bodyBytes, 0)
  bytes[4] = id
  return bytes
}

function frameAround(id: number, body: Uint8Array): Buffer {
  const bytes = frame(id, body.length)
  bytes.set(body, LENGTH_BYTES + 1)
  return bytes
}

/** Who receives what was decoded. May throw; the decoder is then not to be used again. */
export interface WireSink {
  onMessage(message: WireMessage): void
  /** The head of a piece message; `range.lengthBytes` bytes follow in fragments. */
  onPayloadBegin(range: BlockRange): void
  /** `fragment` is over the memory given to push: valid only during the call. */
  onPayload(fragment: Uint8Array): void
  onPayloadEnd(): void
}

export interface WireLimits {
  /** Longest message other than a piece message, length prefix not counted. */
  readonly maxControlBytes: number
  /** Longest payload of a piece message: the largest request ever made. */
  readonly maxPayloadBytes: number
}

/** Cuts a byte stream into messages, however it was cut before. */
export class WireDecoder {
  readonly #sink: WireSink
  readonly #limits: WireLimits
  #head = Buffer.alloc(64)
  #headBytes = 0
  #neededBytes = LENGTH_BYTES
  #payloadLeft = 0
  #isStopped = false

  constructor(sink: WireSink, limits: WireLimits) {
    this.#sink = sink
    this.#limits = limits
  }

  /** Decodes what can be decoded. Throws ERR_SI_PROTOCOL. */
  push(bytes: Uint8Array): void {
    let at = 0
    while (at < bytes.length && !this.#isStopped) {
      if (this.#payloadLeft > 0) at = this.#passPayload(bytes, at)
      else at = this.#gatherHead(bytes, at)
    }
  }

  /** What is missing of the piece message that is being read. */
  get payloadLeftBytes(): number {
    return this.#payloadLeft
  }

  /** Payload that was received on another way; at most what is missing. */
  passPayload(lengthBytes: number): void {
    this.#payloadLeft -= lengthBytes
    if (lengthBytes > 0 && this.#payloadLeft === 0 && !this.#isStopped) this.#sink.onPayloadEnd()
  }

  /** Ignores everything from now on, even the rest of the bytes being pushed. */
  stop(): void {
    this.#isStopped = true
  }

  #passPayload(bytes: Uint8Array, at: number): number {
    const end = Math.min(bytes.length, at + this.#payloadLeft)
    this.#payloadLeft -= end - at
    this.#sink.onPayload(at === 0 && end === bytes.length ? bytes : bytes.subarray(at, end))
    if (this.#payloadLeft === 0) this.#sink.onPayloadEnd()
    return end
  }

  #gatherHead(bytes: Uint8Array, start: number): number {
    let at = start
    if (this.#neededBytes > this.#head.length) {
      const larger = Buffer.alloc(this.#neededBytes)
      this.#head.copy(larger, 0, 0, this.#headBytes)
      this.#head = larger
    }
    const end = Math.min(bytes.length, start + this.#neededBytes - this.#headBytes)
    while (at < end) this.#head[this.#headBytes++] = bytes[at++] as number
    if (this.#headBytes === this.#neededBytes) this.#advance()
    return at
  }

  /** All that was needed is there: the length, then the id, then the rest. */
  #advance(): void {
    const length = this.#head.readUInt32BE(0)
    if (this.#headBytes === LENGTH_BYTES && length > 0) {
      this.#neededBytes = LENGTH_BYTES + 1
    } else if (this.#headBytes === LENGTH_BYTES) {
      this.#finish(() => this.#sink.onMessage({ type: 'keep-alive' }))
    } else if (this.#headBytes === LENGTH_BYTES + 1 && length > 1) {
      this.#neededBytes = LENGTH_BYTES + this.#boundedLength(length)
    } else {
      this.#finish(() => this.#deliver(length))
    }
  }

  /** How much of a message of this length is gathered before it is handed on. */
  #boundedLength(length: number): number {
    const isPiece = this.#head[4] === ID_PIECE
    if (isPiece && length < 9) throw fault(`piece message of ${length} bytes`)
    const limit = isPiece ? this.#limits.maxPayloadBytes + 9 : this.#limits.maxControlBytes
    if (length > limit) throw fault(`message of ${length} bytes, at most ${limit} are allowed`)
    return isPiece ? 9 : length
  }

  #finish(deliver: () => void): void {
    deliver()
    this.#headBytes = 0
    this.#neededBytes = LENGTH_BYTES
  }

  #deliver(length: number): void {
    if (this.#head[4] !== ID_PIECE) {
      const message = decodeControl(this.#head.subarray(LENGTH_BYTES, LENGTH_BYTES + length))
      if (message !== undefined) this.#sink.onMessage(message)
      return
    }
    if (length < 9) throw fault(`piece message of ${length} bytes`)
    this.#payloadLeft = length - 9
    this.#sink.onPayloadBegin({
      pieceIndex: this.#head.readUInt32BE(5),
      offsetBytes: this.#head.readUInt32BE(9),
      lengthBytes: this.#payloadLeft,
    })
    if (this.#payloadLeft === 0) this.#sink.onPayloadEnd()
  }
}

/** Messages one after the other. */
export function encodeMessages(messages: readonly WireMessage[]): Buffer {
  const encoded = messages.map(encodeMessage)
  return encoded.length === 1 && encoded[0] ? encoded[0] : Buffer.concat(encoded)
}

/** What encodeMessage() made. Throws ERR_SI_PROTOCOL. */
export function decodeMessage(bytes: Buffer): WireMessage | undefined {
  const body = bytes.subarray(LENGTH_BYTES)
  return body.length === 0 ? { type: 'keep-alive' } : decodeControl(body)
}

/** `body` is id and content. Undefined for an id nobody has told us about, which is to be ignored. */
function decodeControl(body: Buffer): WireMessage | undefined {
  const id = body[0] ?? 0
  const signal = SIGNALS.get(id)
  if (signal !== undefined) {
    expectLength(body, 1)
    return { type: signal }
  }
  const announcement = ANNOUNCEMENTS.get(id)
  if (announcement !== undefined) {
    expectLength(body, 5)
    return { type: announcement, pieceIndex: body.readUInt32BE(1) }
  }
  const ranged = RANGED.get(id)
  if (ranged !== undefined) {
    expectLength(body, RANGED_LENGTH)
    const [pieceIndex, offsetBytes] = [body.readUInt32BE(1), body.readUInt32BE(5)]
    return { type: ranged, range: { pieceIndex, offsetBytes, lengthBytes: body.readUInt32BE(9) } }
  }
  if (id === ID_BITFIELD) return { type: 'bitfield', bytes: Uint8Array.from(body.subarray(1)) }
  if (id === ID_PORT) {
    expectLength(body, 3)
    return { type: 'port', port: body.readUInt16BE(1) }
  }
  if (id !== ID_EXTENDED) return undefined
  if (body.length < 2) throw fault('extended message without an id')
  return { type: 'extended', id: body[1] ?? 0, payload: Uint8Array.from(body.subarray(2)) }
}

function expectLength(body: Buffer, length: number): void {
  if (body.length === length) return
  throw fault(`message ${body[0] ?? 0} of ${body.length} bytes instead of ${length}`)
}

function fault(what: string): SiError {
  return new SiError('ERR_SI_PROTOCOL', `Peer breaks the protocol: ${what}`)
}
