// The assembly line of a pack: read → parse and cut (this thread) → hash and compress (pack threads) →
// lay into pieces → hash and write. Invariant: memory is a fixed number of windows and piece buffers;
// whoever is slow makes the reading wait, and the first failure ends every wait.
import type { FileHandle } from 'node:fs/promises'
import { abortedError, SiError } from '../core/core.ts'
import type { ChunkTableBuilder } from './chunk-table.ts'
import { Chunker, type ChunkingParameters } from './chunker.ts'
import { FreeList } from './free-list.ts'
import type { ImageEntries } from './image-entries.ts'
import { createWindowMemory, PackWindow, windowSizeFor, type WindowSize } from './pack-window.ts'
import { PackWorkers } from './pack-workers.ts'
import { PackWriter, type PieceBuffer, type PieceHashes } from './pack-writer.ts'
import { TAR_BLOCK_BYTES, tarError } from './tar-header.ts'
import { TarReader, type MemberPlace } from './tar-reader.ts'

/** Where the tar comes from. */
export interface TarSource {
  /** Fills the beginning of `into`, which is shared memory; 0 at the end of the stream. */
  read(into: Uint8Array): Promise<number>
}

export interface PackLineOptions {
  readonly source: TarSource
  readonly file: FileHandle
  readonly entries: ImageEntries
  readonly pieceLengthBytes: number
  readonly chunking: ChunkingParameters
  readonly zstdLevel: number
  readonly threads: number
  readonly onProgress: ((tarBytes: number) => void) | undefined
  readonly onMember: ((place: MemberPlace) => void) | undefined
  readonly signal: AbortSignal | undefined
}

interface IndexedWindow {
  readonly index: number
  readonly window: PackWindow
}

/** One piece is filled while others are hashed and written. */
const PIECE_BUFFERS = 4

export class PackLine implements AsyncDisposable {
  readonly #options: PackLineOptions
  readonly #size: WindowSize
  readonly #windows: FreeList<IndexedWindow>
  readonly #buffers: FreeList<PieceBuffer>
  readonly #workers: PackWorkers
  readonly #writer: PackWriter
  readonly #tar: TarReader
  readonly #chunker: Chunker
  readonly #onAbort = () => this.#fail(abortedError(this.#options.signal as AbortSignal))
  /** The windows so far, laid into pieces in order. */
  #packed: Promise<void> = Promise.resolve()
  #failure: { readonly error: unknown } | undefined
  #rejectRead: ((error: unknown) => void) | undefined

  constructor(options: PackLineOptions) {
    const { chunking, threads, zstdLevel, pieceLengthBytes, entries, file } = options
    this.#options = options
    this.#size = windowSizeFor(chunking)
    const windows = Array.from({ length: 2 * threads + 2 }, () => createWindowMemory(this.#size))
    const pieces = Array.from(
      { length: PIECE_BUFFERS },
      () => new SharedArrayBuffer(pieceLengthBytes),
    )
    const onFailure = (error: unknown) => this.#fail(error)
    this.#windows = new FreeList(windows.map((w, index) => ({ index, window: new PackWindow(w) })))
    this.#buffers = new FreeList<PieceBuffer>(
      pieces.map((p, index) => ({ index, bytes: new Uint8Array(p) })),
    )
    this.#workers = new PackWorkers(threads, { windows, pieces, zstdLevel }, onFailure)
    this.#writer = new PackWriter({
      ...{ file, pieceLengthBytes, zstdLevel, buffers: this.#buffers, onFailure },
      hashPiece: (buffer, lengthBytes) => this.#hashPiece(buffer, lengthBytes),
    })
    this.#tar = new TarReader({
      onEntry: (entry) => entries.add(entry),
      onNote: (text) => entries.note(text),
      onMember: (place) => options.onMember?.(place),
    })
    this.#chunker = new Chunker(chunking)
    options.signal?.addEventListener('abort', this.#onAbort, { once: true })
  }

  get paddingBytes(): number {
    return this.#writer.paddingBytes
  }

  /**
   * Runs to the end of the stream; all pieces are written, not yet flushed. Throws
   * ERR_SI_TAR_FORMAT, ERR_SI_UNSAFE_PATH, ERR_SI_ABORTED, and what the source throws.
   */
  async run(): Promise<{
    readonly table: ChunkTableBuilder
    readonly pieces: readonly PieceHashes[]
  }> {
    try {
      await this.#feed()
      await this.#packed
      return await this.#writer.finish()
    } catch (error) {
      this.#fail(error)
      throw this.#failure?.error ?? error
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#options.signal?.removeEventListener('abort', this.#onAbort)
    this.#fail(new SiError('ERR_SI_INTERNAL', 'The pack is closed'))
    await this.#workers.close()
  }

  async #feed(): Promise<void> {
    let carry: Uint8Array = new Uint8Array(0)
    for (let isEnd = false; !isEnd;) {
      const { index, window } = await this.#windows.take()
      const start = this.#size.headBytes - carry.length
      window.plain.set(carry, start)
      window.chunkCount = 0
      const end = await this.#fill(window.plain)
      isEnd = end < window.plain.length
      if (isEnd) this.#checkEnd()
      carry = window.plain.subarray(this.#cut(window, start, { end, isEnd }), end)
      await this.#options.entries.spool.drain()
      this.#pack(index, window)
    }
  }

  /** Reads until the window is full or the stream ends, parsing as it goes; returns the end. */
  async #fill(plain: Uint8Array): Promise<number> {
    let end = this.#size.headBytes
    while (end < plain.length) {
      const bytesRead = await this.#read(plain.subarray(end))
      if (bytesRead === 0) break
      this.#tar.push(plain.subarray(end, end + bytesRead))
      end += bytesRead
      this.#options.onProgress?.(this.#tar.tarOffset)
    }
    return end
  }

  /** A read that also ends when the line fails; what it reads then is lost. */
  #read(into: Uint8Array): Promise<number> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure.error as Error)
    return new Promise((resolve, reject) => {
      this.#rejectRead = reject
      this.#options.source.read(into).then(resolve, reject)
    })
  }

  #checkEnd(): void {
    this.#tar.end()
    const tarBytes = this.#tar.tarOffset
    if (tarBytes % TAR_BLOCK_BYTES !== 0) throw tarError(tarBytes, 'stream ends inside a block')
  }

  /** Cuts what can be cut of [start, end); returns where the unfinished chunk begins. */
  #cut(
    window: PackWindow,
    start: number,
    { end, isEnd }: { readonly end: number; readonly isEnd: boolean },
  ): number {
    let position = start
    for (;;) {
      const lengthBytes = this.#chunker.next(window.words, position / 4, end / 4)
      if (lengthBytes === 0) break
      window.addChunk(position, lengthBytes)
      position += lengthBytes
    }
    if (!isEnd || position === end) return position
    window.addChunk(position, end - position)
    return end
  }

  #pack(index: number, window: PackWindow): void {
    const { chunkCount } = window
    const compressed = this.#workers.run({ kind: 'window', index, chunkCount })
    compressed.catch(() => {}) // seen through #packed, or overtaken by an earlier failure
    this.#packed = this.#packed.then(async () => {
      await compressed
      await this.#writer.add(window)
      this.#windows.give({ index, window })
    })
    this.#packed.catch((error: unknown) => this.#fail(error))
  }

  async #hashPiece(buffer: PieceBuffer, lengthBytes: number): Promise<PieceHashes> {
    const reply = await this.#workers.run({ kind: 'piece', index: buffer.index, lengthBytes })
    if (reply.kind === 'piece') return reply
    throw new SiError('ERR_SI_INTERNAL', 'A pack thread gave the wrong answer')
  }

  #fail(error: unknown): void {
    if (this.#failure !== undefined) return
    this.#failure = { error }
    this.#workers.fail(error)
    this.#windows.fail(error)
    this.#buffers.fail(error)
    this.#rejectRead?.(error)
  }
}
