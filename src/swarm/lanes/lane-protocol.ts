// What the network thread tells a lane about a connection, and a lane the network thread. Pure. The
// interface that one side writes is the one that is called on the other. Invariant: no payload ever
// crosses; what does is small, and a control message is bounded by the decoder that let it through.
import { SiError } from '../../core/core.ts'
import { parseInfoHash, type InfoHash } from '../../torrent/torrent.ts'
import { type SlotPlace } from '../pieces/block-table.ts'
import { type PayloadPart } from '../connection/connection.ts'
import { type PayloadCount, type PeerSink, type ReceivedBlocks } from '../connection/intake.ts'
import { BatchReader, type BatchWriter } from './lane-batch.ts'
import { type FileSpan } from '../pieces/store.ts'
import { packError, unpackError, type ThreadError } from '../pieces/thread-error.ts'
import { type BlockRange, type WireLimits } from '../wire/wire.ts'

/** To one connection of a lane. */
export interface LinkCommands {
  /** Messages may be read now. `slabId` 0: no payload will be asked for. */
  start(slabId: number, limits: WireLimits): void
  /** Encoded messages, to be sent as they are. */
  write(bytes: Uint8Array): void
  request(range: BlockRange, place: SlotPlace | undefined): void
  sendPayload(bufferIndex: number, parts: readonly PayloadPart[], endsMessage: boolean): void
  sendFiles(head: BlockRange | undefined, spans: readonly FileSpan[], endsMessage: boolean): void
  /** The other side is whom we want to talk to. */
  letIn(): void
  close(): void
}

/** From one connection of a lane. Bytes are valid during the call only. */
export interface LinkEvents extends Omit<PeerSink, 'onMessage' | 'onDrained'> {
  /** The other side has shown these over TLS, DER, its own first; letIn() or close() is waited for. */
  onCertificates(certificates: readonly Uint8Array[]): void
  /** The 68 bytes of a valid handshake. */
  onHandshake(bytes: Buffer): void
  /** A message as on the wire, length prefix included. */
  onEncodedMessage(bytes: Buffer): void
  /** The oldest sendPayload() or sendFiles() that has not been told of is done, or has failed. */
  onSent(error: Error | undefined): void
  /** The last event of a connection. */
  onClosed(error: Error | undefined): void
}

const COMMAND = {
  adopt: 1,
  start: 2,
  write: 3,
  request: 4,
  payload: 5,
  close: 6,
  heard: 7,
  files: 8,
  letIn: 9,
} as const

/** Positions in files have two words. */
const WORD = 2 ** 32

const NO_BYTES = new Uint8Array()

const EVENT = {
  handshake: 1,
  message: 2,
  payloadBegin: 3,
  blocks: 4,
  payload: 5,
  payloadEnd: 6,
  sent: 7,
  closed: 8,
  mark: 9,
  certificates: 10,
} as const

/** A connected socket for a lane. */
export interface Adoption {
  /** Belongs to the lane from now on. */
  readonly fd: number
  /** Of our torrents, for a connection made to us; undefined for one of our own making. */
  readonly infoHashes: readonly InfoHash[] | undefined
}

/** The connection `id` is to be made of the socket. */
export function writeAdopt(batch: BatchWriter, id: number, adoption: Adoption): void {
  const { fd, infoHashes } = adoption
  batch.put(COMMAND.adopt, id, fd, infoHashes === undefined ? 0 : 1)
  if (infoHashes !== undefined) batch.putBytes(Buffer.from(infoHashes.join(''), 'hex'))
}

/** Answers a mark: everything up to it has been dealt with. */
export function writeHeard(batch: BatchWriter): void {
  batch.put(COMMAND.heard, 0)
}

/** Asks for a `heard`. */
export function writeMark(batch: BatchWriter): void {
  batch.put(EVENT.mark, 0)
}

/** Commands to the connection `id`, written into a batch. */
export function commandWriter(batch: BatchWriter, id: number): LinkCommands {
  return {
    start: (slabId, limits) =>
      batch.put(COMMAND.start, id, slabId, limits.maxControlBytes, limits.maxPayloadBytes),
    write(bytes) {
      batch.put(COMMAND.write, id)
      batch.putBytes(bytes)
    },
    request({ pieceIndex, offsetBytes, lengthBytes }, place) {
      batch.put(COMMAND.request, id, pieceIndex, offsetBytes, lengthBytes)
      if (place === undefined) batch.put(0)
      else batch.put(1, place.slot, place.generation)
    },
    sendPayload(bufferIndex, parts, endsMessage) {
      batch.put(COMMAND.payload, id, bufferIndex, Number(endsMessage), parts.length)
      for (const { head, fromBytes, lengthBytes } of parts) {
        batch.put(fromBytes, lengthBytes)
        putHead(batch, head)
      }
    },
    sendFiles(head, spans, endsMessage) {
      batch.put(COMMAND.files, id, Number(endsMessage))
      putHead(batch, head)
      batch.put(spans.length)
      for (const { fd, positionBytes, lengthBytes, isMemory } of spans) {
        const high = Math.floor(positionBytes / WORD)
        batch.put(fd, high, positionBytes % WORD, lengthBytes, Number(isMemory))
      }
    },
    letIn: () => batch.put(COMMAND.letIn, id),
    close: () => batch.put(COMMAND.close, id),
  }
}

function putHead(batch: BatchWriter, head: BlockRange | undefined): void {
  if (head === undefined) batch.put(0)
  else batch.put(1, head.pieceIndex, head.offsetBytes, head.lengthBytes)
}

/** Who carries the commands of a batch out. */
export interface CommandTarget {
  adopt(id: number, adoption: Adoption): void
  heard(): void
  /** Undefined for a connection that has ended meanwhile. */
  find(id: number): LinkCommands | undefined
}

export function readCommands(words: Int32Array, target: CommandTarget): void {
  const batch = new BatchReader(words)
  while (!batch.isAtEnd) {
    const code = batch.next()
    const id = batch.next()
    if (code === COMMAND.adopt) target.adopt(id, readAdoption(batch))
    else if (code === COMMAND.heard) target.heard()
    else readCommand(code, batch, target.find(id))
  }
}

function readAdoption(batch: BatchReader): Adoption {
  const fd = batch.next()
  if (batch.next() === 0) return { fd, infoHashes: undefined }
  const hex = batch.nextBytes().toString('hex')
  return { fd, infoHashes: Array.from(hex.match(/.{40}/g) ?? [], parseInfoHash) }
}

function readCommand(code: number, batch: BatchReader, link: LinkCommands | undefined): void {
  switch (code) {
    case COMMAND.start: {
      const [slabId, maxControlBytes, maxPayloadBytes] = [batch.next(), batch.next(), batch.next()]
      return link?.start(slabId, { maxControlBytes, maxPayloadBytes })
    }
    case COMMAND.write: {
      const bytes = batch.nextBytes()
      return link?.write(bytes)
    }
    case COMMAND.request: {
      const range = readRange(batch)
      const hasPlace = batch.next() === 1
      const place = hasPlace ? { slot: batch.next(), generation: batch.next() } : undefined
      return link?.request(range, place)
    }
    case COMMAND.payload: {
      const [bufferIndex, endsMessage] = [batch.next(), batch.next() === 1]
      const parts = Array.from({ length: batch.next() }, () => readPart(batch))
      return link?.sendPayload(bufferIndex, parts, endsMessage)
    }
    case COMMAND.files: {
      const endsMessage = batch.next() === 1
      const head = readHead(batch)
      const spans = Array.from({ length: batch.next() }, () => readSpan(batch))
      return link?.sendFiles(head, spans, endsMessage)
    }
    case COMMAND.letIn:
      return link?.letIn()
    case COMMAND.close:
      return link?.close()
    default:
      throw new SiError('ERR_SI_INTERNAL', `A lane was sent the unknown command ${code}`)
  }
}

function readRange(batch: BatchReader): BlockRange {
  return { pieceIndex: batch.next(), offsetBytes: batch.next(), lengthBytes: batch.next() }
}

function readPart(batch: BatchReader): PayloadPart {
  const [fromBytes, lengthBytes] = [batch.next(), batch.next()]
  return { fromBytes, lengthBytes, head: readHead(batch) }
}

function readHead(batch: BatchReader): BlockRange | undefined {
  return batch.next() === 1 ? readRange(batch) : undefined
}

function readSpan(batch: BatchReader): FileSpan {
  const [fd, high, low] = [batch.next(), batch.next(), batch.next()]
  const [lengthBytes, isMemory] = [batch.next(), batch.next() === 1]
  return { fd, positionBytes: high * WORD + low, lengthBytes, isMemory }
}

/** Events of the connection `id`, written into a batch. */
export function eventWriter(batch: BatchWriter, id: number): LinkEvents {
  return {
    onCertificates(certificates) {
      batch.put(EVENT.certificates, id, certificates.length)
      for (const bytes of certificates) batch.putBytes(bytes)
    },
    onHandshake(bytes) {
      batch.put(EVENT.handshake, id)
      batch.putBytes(bytes)
    },
    onEncodedMessage(bytes) {
      batch.put(EVENT.message, id)
      batch.putBytes(bytes)
    },
    onPayloadBegin({ pieceIndex, offsetBytes, lengthBytes }, isExpected) {
      const range = [pieceIndex, offsetBytes, lengthBytes] as const
      batch.put(EVENT.payloadBegin, id, ...range, Number(isExpected))
    },
    onBlocks: ({ pieceIndex, generation, first, end }) =>
      batch.put(EVENT.blocks, id, pieceIndex, generation, first, end),
    onPayload: ({ bytes, usedBytes, wastedBytes }) =>
      batch.put(EVENT.payload, id, bytes, usedBytes, wastedBytes),
    onPayloadEnd: () => batch.put(EVENT.payloadEnd, id),
    onSent(error) {
      batch.put(EVENT.sent, id)
      putError(batch, error)
    },
    onClosed(error) {
      batch.put(EVENT.closed, id)
      putError(batch, error)
    },
  }
}

/** Who is told the events of a batch. */
export interface EventTarget {
  mark(): void
  find(id: number): LinkEvents | undefined
}

export function readEvents(words: Int32Array, target: EventTarget): void {
  const batch = new BatchReader(words)
  while (!batch.isAtEnd) {
    const code = batch.next()
    const id = batch.next()
    if (code === EVENT.mark) target.mark()
    else readEvent(code, batch, target.find(id))
  }
}

function readEvent(code: number, batch: BatchReader, link: LinkEvents | undefined): void {
  switch (code) {
    case EVENT.certificates: {
      const certificates = Array.from({ length: batch.next() }, () => batch.nextBytes())
      return link?.onCertificates(certificates)
    }
    case EVENT.handshake: {
      const bytes = batch.nextBytes()
      return link?.onHandshake(bytes)
    }
    case EVENT.message: {
      const bytes = batch.nextBytes()
      return link?.onEncodedMessage(bytes)
    }
    case EVENT.payloadBegin: {
      const range = readRange(batch)
      const isExpected = batch.next() === 1
      return link?.onPayloadBegin(range, isExpected)
    }
    case EVENT.blocks: {
      const blocks = readBlocks(batch)
      return link?.onBlocks(blocks)
    }
    case EVENT.payload: {
      const payload = readPayload(batch)
      return link?.onPayload(payload)
    }
    case EVENT.payloadEnd:
      return link?.onPayloadEnd()
    case EVENT.sent: {
      const error = decodeError(batch.nextBytes())
      return link?.onSent(error)
    }
    case EVENT.closed: {
      const error = decodeError(batch.nextBytes())
      return link?.onClosed(error)
    }
    default:
      throw new SiError('ERR_SI_INTERNAL', `A lane sent the unknown event ${code}`)
  }
}

function readBlocks(batch: BatchReader): ReceivedBlocks {
  const [pieceIndex, generation] = [batch.next(), batch.next()]
  return { pieceIndex, generation, first: batch.next(), end: batch.next() }
}

function readPayload(batch: BatchReader): PayloadCount {
  return { bytes: batch.next(), usedBytes: batch.next(), wastedBytes: batch.next() }
}

/** Errors of ours keep their code and hint; those of the system stay what they are: not ours. */
type PackedError = { readonly ours: ThreadError } | { readonly message: string }

function putError(batch: BatchWriter, error: Error | undefined): void {
  batch.putBytes(error === undefined ? NO_BYTES : encodeError(error))
}

function encodeError(error: Error): Buffer {
  const packed: PackedError =
    error instanceof SiError ? { ours: packError(error) } : { message: error.message }
  return Buffer.from(JSON.stringify(packed))
}

function decodeError(bytes: Buffer): Error | undefined {
  if (bytes.length === 0) return undefined
  const packed = JSON.parse(bytes.toString()) as PackedError
  return 'ours' in packed ? unpackError(packed.ours) : new Error(packed.message)
}
