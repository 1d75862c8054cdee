// What one peer has asked us for, and the sending of it. Invariant: at most two parts per peer are being
// read or sent, so a peer is served as fast as it reads and not a byte faster; close() waits for all that
// uses the store. Requests that lie side by side are read at once; a long one is read and sent in parts.
// What lies in memory in a file is not read at all: the kernel sends it from there.
import { SiError } from '../core/core.ts'
import { type Connection, type PayloadPart } from './connection/connection.ts'
import { type FileSpan, type PieceStore } from './pieces/store.ts'
import { type UploadBuffer, type UploadBuffers } from './pieces/upload-buffers.ts'
import { isSameRange, type BlockRange } from './wire/wire.ts'

/** One is read while the other is in the socket. */
const PARTS_PER_PEER = 2

/** Less is copied sooner than asked for. */
const MIN_FILE_BYTES = 64 * 1024

export interface UploaderOptions {
  readonly connection: Connection
  readonly store: PieceStore
  readonly buffers: UploadBuffers
  /** Payload that the kernel took. */
  readonly onSent: (bytes: number) => void
  /** A read failed; the connection is closed, as the peer cannot be told. */
  readonly onReadError: (error: unknown, range: BlockRange) => void
}

export class Uploader {
  readonly #options: UploaderOptions
  readonly #queue: BlockRange[] = []
  #queuedBytes = 0
  #partsUnderWay = 0
  #filesUnderWay = 0
  #wake: (() => void) | undefined
  #stopBorrowing: (() => void) | undefined
  #running: Promise<void> | undefined
  #isClosed = false

  constructor(options: UploaderOptions) {
    this.#options = options
  }

  get queuedRequests(): number {
    return this.#queue.length
  }

  get queuedBytes(): number {
    return this.#queuedBytes
  }

  push(range: BlockRange): void {
    if (this.#isClosed) return
    this.#queue.push(range)
    this.#queuedBytes += range.lengthBytes
    this.#running ??= this.#run()
  }

  /** Drops one waiting request; false when it is being sent already, or never was there. */
  cancel(range: BlockRange): boolean {
    const at = this.#queue.findIndex((queued) => isSameRange(queued, range))
    if (at < 0) return false
    this.#queue.splice(at, 1)
    this.#queuedBytes -= range.lengthBytes
    return true
  }

  /** Drops all waiting requests and returns them. */
  clear(): readonly BlockRange[] {
    this.#queuedBytes = 0
    return this.#queue.splice(0)
  }

  /** For a closed connection. Resolves when nothing is read or sent from the store: it may be closed then. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.clear()
    this.#wake?.()
    this.#stopBorrowing?.()
    await this.#running
    while (this.#filesUnderWay > 0) await this.#partDone()
  }

  #partDone(): Promise<void> {
    return new Promise((resolve) => (this.#wake = resolve))
  }

  /** Waits at least once, and knows that it has ended as soon as it finds nothing to do. */
  async #run(): Promise<void> {
    try {
      for (let batch = this.#nextBatch(); batch !== undefined; batch = this.#nextBatch()) {
        for (const part of splitBatch(batch, this.#options.buffers.bufferBytes)) {
          if (this.#isClosed || !(await this.#sendPart(part))) return
        }
      }
    } finally {
      this.#running = undefined
    }
  }

  /** The first request and those that follow it without a gap, as far as one buffer goes. */
  #nextBatch(): BlockRange[] | undefined {
    const first = this.#queue.shift()
    if (first === undefined || this.#isClosed) return undefined
    const batch = [first]
    let bytes = first.lengthBytes
    for (let next = this.#queue[0]; next !== undefined; next = this.#queue[0]) {
      const isNext =
        next.pieceIndex === first.pieceIndex && next.offsetBytes === first.offsetBytes + bytes
      if (!isNext || bytes + next.lengthBytes > this.#options.buffers.bufferBytes) break
      this.#queue.shift()
      batch.push(next)
      bytes += next.lengthBytes
    }
    this.#queuedBytes -= bytes
    return batch
  }

  /** Sends one part; false when the connection cannot go on. */
  async #sendPart(part: UploadPart): Promise<boolean> {
    const { connection, onReadError } = this.#options
    while (this.#partsUnderWay >= PARTS_PER_PEER) await this.#partDone()
    if (this.#isClosed) return false
    this.#partsUnderWay++
    try {
      const spans = await this.#locate(part)
      if (spans === undefined) await this.#sendRead(part)
      else this.#sendFiles(part, spans)
    } catch (error) {
      this.#partsUnderWay--
      if (!this.#isClosed) onReadError(error, part.range)
      return false
    }
    return !connection.isClosed
  }

  async #locate({ range, starts }: UploadPart): Promise<readonly FileSpan[] | undefined> {
    const { pieceIndex, offsetBytes, lengthBytes } = range
    if (starts.length > 1 || lengthBytes < MIN_FILE_BYTES) return undefined
    return await this.#options.store.locate(pieceIndex, offsetBytes, lengthBytes)
  }

  #sendFiles(part: UploadPart, spans: readonly FileSpan[]): void {
    const { connection, onReadError } = this.#options
    this.#filesUnderWay++
    connection.sendFiles(part.starts[0], spans, {
      endsMessage: part.endsMessage,
      onSent: (error) => {
        this.#filesUnderWay--
        if (error !== undefined && !this.#isClosed) onReadError(error, part.range)
        this.#onSent(part)
      },
    })
  }

  /** Reads a part into a buffer and sends it from there. */
  async #sendRead(part: UploadPart): Promise<void> {
    const { store, buffers, connection } = this.#options
    const buffer = await this.#borrow()
    if (buffer === undefined) return void this.#partsUnderWay--
    try {
      const payload = buffer.bytes.subarray(0, part.range.lengthBytes)
      await store.read(part.range.pieceIndex, part.range.offsetBytes, payload)
    } catch (error) {
      buffers.release(buffer)
      throw error
    }
    buffers.lend(buffer, () =>
      connection.close(new SiError('ERR_SI_PROTOCOL', 'Peer does not take what it asked for')),
    )
    connection.sendPayload(buffer, framed(part), {
      endsMessage: part.endsMessage,
      onSent: () => {
        buffers.release(buffer)
        this.#onSent(part)
      },
    })
  }

  /** Undefined when this was closed before there was one. */
  #borrow(): Promise<UploadBuffer | undefined> {
    return new Promise((resolve) => {
      this.#stopBorrowing = () => resolve(undefined)
      void this.#options.buffers.acquire().then((buffer) => {
        if (this.#isClosed) this.#options.buffers.release(buffer)
        resolve(this.#isClosed ? undefined : buffer)
      })
    })
  }

  #onSent(part: UploadPart): void {
    this.#partsUnderWay--
    this.#wake?.()
    const { connection, onSent } = this.#options
    if (!connection.isClosed) onSent(part.range.lengthBytes)
  }
}

/** A range that fits a buffer, with the requests that begin in it. */
interface UploadPart {
  readonly range: BlockRange
  readonly starts: readonly BlockRange[]
  readonly endsMessage: boolean
}

function splitBatch(batch: readonly BlockRange[], partBytes: number): UploadPart[] {
  const first = batch[0]
  if (first === undefined) return []
  if (batch.length > 1 || first.lengthBytes <= partBytes) {
    const lengthBytes = batch.reduce((sum, range) => sum + range.lengthBytes, 0)
    return [{ range: { ...first, lengthBytes }, starts: batch, endsMessage: true }]
  }
  const parts: UploadPart[] = []
  for (let done = 0; done < first.lengthBytes; done += partBytes) {
    const lengthBytes = Math.min(partBytes, first.lengthBytes - done)
    const range = { ...first, offsetBytes: first.offsetBytes + done, lengthBytes }
    const endsMessage = done + lengthBytes === first.lengthBytes
    parts.push({ range, starts: done === 0 ? [first] : [], endsMessage })
  }
  return parts
}

/** What goes out of the buffer, in the order of the wire. */
function framed({ range, starts }: UploadPart): PayloadPart[] {
  if (starts.length === 0) {
    return [{ head: undefined, fromBytes: 0, lengthBytes: range.lengthBytes }]
  }
  return starts.map((head) => {
    const fromBytes = head.offsetBytes - range.offsetBytes
    return { head, fromBytes, lengthBytes: Math.min(head.lengthBytes, range.lengthBytes) }
  })
}
