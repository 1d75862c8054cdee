// What leaves by one socket, in the order of the wire. Invariant: no message falls into a piece message, nothing
// overtakes a file that is being sent, and what was told to be sent is told of as sent once, in order, when its
// buffer or its files are not used any more.
import { type Socket } from 'node:net'
import { type FileSpan } from '../pieces/store.ts'
import { type UploadBuffer } from '../pieces/upload-buffers.ts'
import { type Encryption } from '../wire/encryption.ts'
import { encodePieceHead, type BlockRange } from '../wire/wire.ts'
import { type PayloadPart, type SendOptions } from './connection.ts'
import { CARRIER_BYTES, FileSend, type FileWay } from './file-send.ts'
import { descriptorOf } from './socket-descriptor.ts'
import { TurnBudget } from './turn-budget.ts'

/** Of an encrypted connection; `send` gives fresh memory while it is ciphering. */
export type Cipher = Pick<Encryption, 'isCiphering' | 'send'>

interface FromBuffer {
  readonly kind: 'buffer'
  readonly buffer: UploadBuffer
  readonly parts: readonly PayloadPart[]
  readonly options: SendOptions
}

interface FromFiles {
  readonly kind: 'files'
  readonly head: BlockRange | undefined
  readonly spans: readonly FileSpan[]
  readonly options: SendOptions
}

type Payload = FromBuffer | FromFiles
type Parcel = Payload | { readonly kind: 'messages'; readonly bytes: Uint8Array }

export class Outbox {
  readonly #socket: Socket
  readonly #encryption: Cipher | undefined
  readonly #way: FileWay
  /** A part of a piece message was sent, its end was not: messages wait. */
  #isAmidMessage = false
  readonly #held: Uint8Array[] = []
  #heldBytes = 0
  #file: FileSend | undefined
  /** What waits for the files before it. */
  readonly #parcels: Parcel[] = []
  #isClosed = false
  #onIdle: (() => void) | undefined

  constructor(socket: Socket, encryption: Cipher | undefined) {
    this.#socket = socket
    this.#encryption = encryption
    let carrier: Buffer | undefined
    this.#way = {
      descriptor: () => (encryption?.isCiphering ? undefined : descriptorOf(socket)),
      write: (bytes, onTaken) => this.#put(bytes, (error) => error ?? onTaken()),
      isFlushed: () => socket.writableLength === 0,
      carrier: () => (carrier ??= Buffer.allocUnsafeSlow(CARRIER_BYTES)),
      budget: new TurnBudget(),
    }
  }

  /** Held in memory until the kernel takes it. */
  get unsentBytes(): number {
    return this.#socket.writableLength + this.#heldBytes
  }

  /** Sends encoded messages; when a part of a piece message was sent, after its end. */
  write(bytes: Uint8Array): void {
    if (!this.#isAmidMessage && this.#parcels.length === 0) return this.#put(bytes)
    this.#heldBytes += bytes.length
    if (this.#parcels.length === 0) this.#held.push(bytes)
    else this.#parcels.push({ kind: 'messages', bytes })
  }

  /** See Connection. */
  sendPayload(buffer: UploadBuffer, parts: readonly PayloadPart[], options: SendOptions): void {
    this.#send({ kind: 'buffer', buffer, parts, options })
  }

  /** See Connection. */
  sendFiles(head: BlockRange | undefined, spans: readonly FileSpan[], options: SendOptions): void {
    this.#send({ kind: 'files', head, spans, options })
  }

  /** Sends nothing more; to be called when the socket is closed. Idempotent. */
  close(): void {
    this.#isClosed = true
    this.#file?.close()
    for (const parcel of this.#parcels.splice(0)) {
      if (parcel.kind !== 'messages') parcel.options.onSent()
    }
  }

  /** Calls back when no file is used any more; to be called once, after close(). */
  whenIdle(onIdle: () => void): void {
    if (this.#file === undefined) onIdle()
    else this.#onIdle = onIdle
  }

  #send(parcel: Payload): void {
    if (this.#isClosed) return parcel.options.onSent()
    if (this.#file === undefined) this.#begin(parcel)
    else this.#parcels.push(parcel)
  }

  #begin(parcel: Parcel): void {
    if (parcel.kind === 'messages') return this.#writeHeld(parcel.bytes)
    this.#isAmidMessage = true
    if (parcel.kind === 'buffer') this.#putBuffer(parcel)
    else this.#putFiles(parcel)
  }

  /** Its turn has come among the parcels: it goes out, or waits for the end of the piece message after all. */
  #writeHeld(bytes: Uint8Array): void {
    if (this.#isAmidMessage) return void this.#held.push(bytes)
    this.#heldBytes -= bytes.length
    this.#put(bytes)
  }

  #putBuffer({ buffer, parts, options }: FromBuffer): void {
    const last = parts.length - 1
    this.#socket.cork()
    parts.forEach(({ head, fromBytes, lengthBytes }, index) => {
      if (head !== undefined) this.#put(encodePieceHead(head))
      const bytes = buffer.bytes.subarray(fromBytes, fromBytes + lengthBytes)
      this.#put(bytes, index === last ? () => options.onSent() : undefined)
    })
    if (options.endsMessage) this.#release()
    this.#socket.uncork()
  }

  #putFiles({ head, spans, options }: FromFiles): void {
    this.#file = new FileSend(this.#way, spans, (error) => {
      this.#file = undefined
      // After an error the stream is broken: whoever is told of it closes the connection.
      const isWhole = error === undefined && !this.#isClosed
      if (isWhole && options.endsMessage) this.#release()
      options.onSent(error)
      if (isWhole) this.#goOn()
      if (this.#isClosed) this.#onIdle?.()
    })
    this.#file.start(head && encodePieceHead(head))
  }

  #goOn(): void {
    while (this.#file === undefined && !this.#isClosed) {
      const parcel = this.#parcels.shift()
      if (parcel === undefined) return
      this.#begin(parcel)
    }
  }

  /** Everything that is sent but files goes through here, in the order of the wire. */
  #put(bytes: Uint8Array, onSent?: (error?: Error | null) => void): void {
    this.#socket.write(this.#encryption?.send(bytes) ?? bytes, onSent)
  }

  /** A piece message is whole: what was held back goes out. */
  #release(): void {
    this.#isAmidMessage = false
    for (const bytes of this.#held.splice(0)) this.#writeHeld(bytes)
  }
}
