// Frames: a fixed header, fields, data. Decoding takes bytes as they come from the socket and gives whole
// frames; data stays in the parts in which it came, uncopied. A frame's length is bounded. PROTOCOL.md §2.
import { type Writable } from 'node:stream'
import { malformedMessage } from './schema.ts'

export interface FrameHeader {
  readonly kind: number
  /** Operation, push, or the errno of a failure. */
  readonly code: number
  /** Chosen by whoever asks, given back in the reply. */
  readonly id: number
  /** Of a request that must take effect once: the session's slot and the count of its uses. */
  readonly slot: number
  readonly sequence: number
}

export interface Frame extends FrameHeader {
  readonly fields: Buffer
  readonly data: readonly Buffer[]
}

export const FRAME_HEADER_BYTES = 24
/** No slot: the request may be carried out again. */
export const NO_SLOT = 0xffff
/** Fields and data: a megabyte of data, or the names of a folder. */
export const MAXIMUM_FRAME_BYTES = 4 * 2 ** 20

/** So many parts that are smaller than this on average are copied into one. */
const JOINED_FROM_PARTS = 64
const JOINED_BELOW_BYTES = 1024

/** A frame in parts, for one write. */
export function encodeFrame(
  header: FrameHeader,
  fields: Uint8Array,
  data: readonly Uint8Array[] = [],
): readonly Uint8Array[] {
  const dataBytes = data.reduce((sum, part) => sum + part.length, 0)
  const start = Buffer.allocUnsafe(FRAME_HEADER_BYTES + fields.length)
  start.writeUInt32LE(fields.length, 0)
  start.writeUInt32LE(dataBytes, 4)
  start.writeUInt8(header.kind, 8)
  start.writeUInt8(0, 9)
  start.writeUInt16LE(header.code, 10)
  start.writeUInt32LE(header.id, 12)
  start.writeUInt32LE(header.slot, 16)
  start.writeUInt32LE(header.sequence, 20)
  start.set(fields, FRAME_HEADER_BYTES)
  return [start, ...data]
}

/** Sends a frame's parts together. `onSent`: they have left this process, or never will. */
export function writeFrame(
  socket: Writable,
  parts: readonly Uint8Array[],
  onSent?: () => void,
): void {
  socket.cork()
  parts.forEach((part, index) => socket.write(part, index < parts.length - 1 ? undefined : onSent))
  socket.uncork()
}

/** The same frame for another request: an answer that is given again. */
export function withFrameId(parts: readonly Uint8Array[], id: number): readonly Uint8Array[] {
  const [first, ...rest] = parts
  const start = Buffer.from(first ?? [])
  start.writeUInt32LE(id, 12)
  return [start, ...rest]
}

/** Cuts a stream of bytes into frames. Throws ERR_SI_PROTOCOL at a frame longer than allowed. */
export class FrameDecoder {
  #parts: Buffer[] = []
  #availableBytes = 0
  #needBytes = FRAME_HEADER_BYTES

  /** Whether a frame has begun that is not whole. */
  get isPartial(): boolean {
    return this.#availableBytes > 0
  }

  /** Takes what has come; the frames that are whole with it. The bytes belong to the decoder then. */
  push(bytes: Buffer): readonly Frame[] {
    const frames: Frame[] = []
    this.#parts.push(bytes)
    this.#availableBytes += bytes.length
    this.#join()
    while (this.#availableBytes >= this.#needBytes) {
      const header = this.#peek(FRAME_HEADER_BYTES)
      const [fieldsBytes, dataBytes] = [header.readUInt32LE(0), header.readUInt32LE(4)]
      const wholeBytes = FRAME_HEADER_BYTES + fieldsBytes + dataBytes
      if (wholeBytes > MAXIMUM_FRAME_BYTES) {
        throw malformedMessage(`a frame of ${wholeBytes} bytes`)
      }
      this.#needBytes = wholeBytes
      if (this.#availableBytes < wholeBytes) break
      this.#take(FRAME_HEADER_BYTES)
      const fields = Buffer.concat(this.#take(fieldsBytes))
      const data = this.#take(dataBytes)
      this.#needBytes = FRAME_HEADER_BYTES
      frames.push({
        kind: header.readUInt8(8),
        code: header.readUInt16LE(10),
        id: header.readUInt32LE(12),
        slot: header.readUInt32LE(16),
        sequence: header.readUInt32LE(20),
        ...{ fields, data },
      })
    }
    return frames
  }

  /** A peer that sends byte by byte must not cost a buffer for each. */
  #join(): void {
    const { length } = this.#parts
    if (length < JOINED_FROM_PARTS || this.#availableBytes > length * JOINED_BELOW_BYTES) return
    this.#parts = [Buffer.concat(this.#parts)]
  }

  #peek(lengthBytes: number): Buffer {
    const [first] = this.#parts
    if (first !== undefined && first.length >= lengthBytes) return first
    const whole = Buffer.concat(this.#parts)
    this.#parts = [whole]
    return whole
  }

  #take(lengthBytes: number): Buffer[] {
    const taken: Buffer[] = []
    let left = lengthBytes
    while (left > 0) {
      const part = this.#parts.shift()
      if (part === undefined) break
      if (part.length > left) this.#parts.unshift(part.subarray(left))
      taken.push(part.subarray(0, left))
      left -= Math.min(part.length, left)
    }
    this.#availableBytes -= lengthBytes
    return taken
  }
}
