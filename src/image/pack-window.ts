// A stretch of the tar stream in shared memory with room for its compressed frames: what one message
// to a pack thread is about. Invariant: at any time it belongs to one side only, main or one thread.
import { frameBoundBytes } from './pack-layout.ts'
import type { ChunkingParameters } from './chunker.ts'

const SHA256_BYTES = 32

/** Columns of `layout`: where a chunk begins in `plain`, its length, its frame in `frames`. */
const COLUMNS = 4

/** Plain memory, ready to be posted to a thread. */
export interface WindowMemory {
  readonly plain: SharedArrayBuffer
  readonly frames: SharedArrayBuffer
  readonly layout: SharedArrayBuffer
  readonly hashes: SharedArrayBuffer
}

export interface WindowSize {
  /** Room at the front for the unfinished chunk of the window before: the longest chunk. */
  readonly headBytes: number
  readonly freshBytes: number
  readonly maximumChunks: number
  readonly frameBytes: number
}

/** A window holds at least eight average chunks, so that a message is cheap against its work. */
export function windowSizeFor(chunking: ChunkingParameters): WindowSize {
  const headBytes = chunking.maximumBytes
  const freshBytes = Math.max(512 * 1024, 8 * chunking.averageBytes)
  const plainBytes = headBytes + freshBytes
  const maximumChunks = Math.ceil(plainBytes / chunking.minimumBytes) + 1
  const marginBytes = frameBoundBytes(chunking.minimumBytes) - chunking.minimumBytes
  return {
    ...{ headBytes, freshBytes, maximumChunks },
    frameBytes: frameBoundBytes(plainBytes) + maximumChunks * marginBytes,
  }
}

export function createWindowMemory(size: WindowSize): WindowMemory {
  return {
    plain: new SharedArrayBuffer(size.headBytes + size.freshBytes),
    frames: new SharedArrayBuffer(size.frameBytes),
    layout: new SharedArrayBuffer(size.maximumChunks * COLUMNS * 4),
    hashes: new SharedArrayBuffer(size.maximumChunks * SHA256_BYTES),
  }
}

/** Typed access to a window's memory, the same on both sides. */
export class PackWindow {
  readonly plain: Uint8Array
  readonly words: Int32Array
  readonly frames: Uint8Array
  readonly #layout: Uint32Array
  readonly #hashes: Uint8Array
  /** Chunks cut so far; only the side that cuts them counts here. */
  chunkCount = 0

  constructor(memory: WindowMemory) {
    this.plain = new Uint8Array(memory.plain)
    this.words = new Int32Array(memory.plain)
    this.frames = new Uint8Array(memory.frames)
    this.#layout = new Uint32Array(memory.layout)
    this.#hashes = new Uint8Array(memory.hashes)
  }

  addChunk(offset: number, lengthBytes: number): void {
    const row = this.chunkCount++ * COLUMNS
    this.#layout[row] = offset
    this.#layout[row + 1] = lengthBytes
  }

  setFrame(chunk: number, offset: number, packedBytes: number): void {
    this.#layout[chunk * COLUMNS + 2] = offset
    this.#layout[chunk * COLUMNS + 3] = packedBytes
  }

  /** The plain bytes of a chunk; a view. */
  chunk(index: number): Uint8Array {
    return this.#slice(this.plain, index * COLUMNS)
  }

  /** The frame of a chunk, once set; a view. */
  frame(index: number): Uint8Array {
    return this.#slice(this.frames, index * COLUMNS + 2)
  }

  /** SHA-256 of the plain bytes of a chunk; a view, for writing and reading. */
  hash(index: number): Uint8Array {
    return this.#hashes.subarray(index * SHA256_BYTES, (index + 1) * SHA256_BYTES)
  }

  #slice(bytes: Uint8Array, column: number): Uint8Array {
    const offset = this.#layout[column] ?? 0
    return bytes.subarray(offset, offset + (this.#layout[column + 1] ?? 0))
  }
}
