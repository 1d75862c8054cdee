// Lays frames into pieces in order, fills what is left, and sends full pieces to be hashed and
// written. Invariant: no frame crosses a piece; padding stays near 1/80 of the pack. Spec: FORMAT.md §2.
import type { FileHandle } from 'node:fs/promises'
import { hash } from 'node:crypto'
import { SiError } from '../core/core.ts'
import { startWriteback } from '../host/host.ts'
import { ChunkTableBuilder } from './chunk-table.ts'
import { writeFully } from './file-io.ts'
import { encodeFrame } from './frame.ts'
import { frameFits, splitToFit } from './frame-split.ts'
import type { FreeList } from './free-list.ts'
import { writeSkippableFrame } from './pack-layout.ts'
import type { PackWindow } from './pack-window.ts'

/** Padding beyond this share of the pack so far is avoided by splitting a chunk. */
const PADDING_SHARE = 1 / 80

/** A chunk of shared memory that is lent to the writer while a piece is filled and written. */
export interface PieceBuffer {
  readonly index: number
  readonly bytes: Uint8Array
}

export interface PieceHashes {
  readonly sha1: Uint8Array
  readonly sha256: Uint8Array
}

export interface PackWriterOptions {
  readonly file: FileHandle
  readonly pieceLengthBytes: number
  /** For chunks that are split. */
  readonly zstdLevel: number
  readonly buffers: FreeList<PieceBuffer>
  readonly hashPiece: (buffer: PieceBuffer, lengthBytes: number) => Promise<PieceHashes>
  /** Hears of a piece that could not be hashed or written. */
  readonly onFailure: (error: unknown) => void
}

interface Frame {
  readonly plain: Uint8Array
  readonly sha256: Uint8Array
  readonly bytes: Uint8Array
}

export class PackWriter {
  readonly #options: PackWriterOptions
  readonly #table: ChunkTableBuilder
  readonly #pieces: Promise<PieceHashes>[] = []
  #buffer: PieceBuffer | undefined
  #usedBytes = 0
  #paddingBytes = 0

  constructor(options: PackWriterOptions) {
    this.#options = options
    this.#table = new ChunkTableBuilder(options.pieceLengthBytes)
  }

  get paddingBytes(): number {
    return this.#paddingBytes
  }

  /** Packs all chunks of a compressed window; afterwards the window is free again. */
  async add(window: PackWindow): Promise<void> {
    for (let i = 0; i < window.chunkCount; i++) {
      const frame = { plain: window.chunk(i), sha256: window.hash(i), bytes: window.frame(i) }
      // Waiting only where there is something to wait for keeps most of a window in one turn.
      if (this.#buffer === undefined || !frameFits(frame.bytes.length, this.#roomBytes)) {
        await this.#placeElsewhere(frame)
      } else {
        this.#append(this.#buffer, frame)
      }
    }
  }

  /** Writes the last piece and waits for all of them. */
  async finish(): Promise<{
    readonly table: ChunkTableBuilder
    readonly pieces: readonly PieceHashes[]
  }> {
    if (this.#buffer !== undefined) this.#send(this.#buffer, this.#usedBytes)
    return { table: this.#table, pieces: await Promise.all(this.#pieces) }
  }

  get #roomBytes(): number {
    return this.#options.pieceLengthBytes - this.#usedBytes
  }

  async #placeElsewhere(frame: Frame): Promise<void> {
    let rest = frame
    if (this.#buffer !== undefined) {
      if (this.#isPaddingTooMuch()) rest = await this.#fillWithPart(this.#buffer, frame)
      this.#close(this.#buffer)
    }
    this.#buffer = await this.#options.buffers.take()
    this.#usedBytes = 0
    this.#append(this.#buffer, rest)
  }

  #isPaddingTooMuch(): boolean {
    const packBytes = (this.#pieces.length + 1) * this.#options.pieceLengthBytes
    return this.#paddingBytes + this.#roomBytes > packBytes * PADDING_SHARE
  }

  /** Puts as much of the chunk as fits into the piece; returns what is left of it, compressed. */
  async #fillWithPart(buffer: PieceBuffer, frame: Frame): Promise<Frame> {
    const { zstdLevel } = this.#options
    const roomBytes = this.#roomBytes
    const part = await splitToFit(frame.plain, frame.bytes.length, { roomBytes, zstdLevel })
    if (part === undefined) return frame
    const head = frame.plain.subarray(0, part.plainBytes)
    const tail = frame.plain.subarray(part.plainBytes)
    this.#append(buffer, { plain: head, sha256: sha256(head), bytes: part.frame })
    return { plain: tail, sha256: sha256(tail), bytes: await encodeFrame(tail, zstdLevel) }
  }

  #append(buffer: PieceBuffer, frame: Frame): void {
    const fault = this.#table.add({
      tarOffset: this.#table.tarEnd,
      lengthBytes: frame.plain.length,
      packOffset: this.#pieces.length * this.#options.pieceLengthBytes + this.#usedBytes,
      packedBytes: frame.bytes.length,
      sha256: frame.sha256,
    })
    if (fault !== undefined) throw new SiError('ERR_SI_INTERNAL', `Cannot pack a chunk: ${fault}`)
    buffer.bytes.set(frame.bytes, this.#usedBytes)
    this.#usedBytes += frame.bytes.length
  }

  #close(buffer: PieceBuffer): void {
    this.#paddingBytes += this.#roomBytes
    writeSkippableFrame(buffer.bytes.subarray(this.#usedBytes))
    this.#send(buffer, this.#options.pieceLengthBytes)
    this.#buffer = undefined
  }

  /** Hashes and writes at the same time; the buffer comes back when both are done. */
  #send(buffer: PieceBuffer, lengthBytes: number): void {
    const { file, buffers, hashPiece, onFailure, pieceLengthBytes } = this.#options
    const position = this.#pieces.length * pieceLengthBytes
    const written = this.#write(file, buffer.bytes.subarray(0, lengthBytes), position)
    const done = Promise.all([hashPiece(buffer, lengthBytes), written]).then(([hashes]) => {
      buffers.give(buffer)
      return hashes
    })
    done.catch(onFailure)
    this.#pieces.push(done)
  }

  /** Sends the bytes on to the disk at once, so that the flush at the end is short. */
  async #write(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
    await writeFully(file, bytes, position)
    await startWriteback(file.fd, position, bytes.length).catch(() => {}) // the flush tells of faults
  }
}

function sha256(bytes: Uint8Array): Buffer {
  return hash('sha256', bytes, 'buffer')
}
