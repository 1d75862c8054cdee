// All chunks of an image as columns of numbers: 100 bytes a chunk less than objects, and shared with
// threads without copying. Invariant: chunks cover the tar without gaps, in order; frames follow each
// other from the start of each piece and never cross into the next. Spec: FORMAT.md §2, §4.
import { SKIPPABLE_HEADER_BYTES } from './pack-layout.ts'

const SHA256_BYTES = 32

export interface ChunkTable {
  readonly count: number
  /** Of the chunk's first byte in the uncompressed tar. */
  readonly tarOffset: Float64Array
  readonly lengthBytes: Uint32Array
  /** Of the chunk's frame in image.tar.zst. */
  readonly packOffset: Float64Array
  readonly packedBytes: Uint32Array
  /** Of the plain bytes: 32 × count. */
  readonly sha256: Uint8Array
  /** Chunks of piece p: firstOfPiece[p] to firstOfPiece[p + 1]; pieceCount + 1 numbers. */
  readonly firstOfPiece: Uint32Array
}

/** Where the plain bytes of a piece lie in the tar: from `start` up to, not including, `end`. */
export function tarRangeOfPiece(
  chunks: ChunkTable,
  pieceIndex: number,
): { readonly start: number; readonly end: number } {
  const first = chunks.firstOfPiece[pieceIndex] ?? 0
  const last = (chunks.firstOfPiece[pieceIndex + 1] ?? first + 1) - 1
  const end = (chunks.tarOffset[last] ?? 0) + (chunks.lengthBytes[last] ?? 0)
  return { start: chunks.tarOffset[first] ?? 0, end }
}

const FIRST_BYTES = 4096

/** A typed array over a SharedArrayBuffer that doubles as it fills. */
class GrowingColumn<T extends Float64Array | Uint32Array | Uint8Array> {
  readonly #create: (buffer: SharedArrayBuffer) => T
  #array: T
  length = 0

  /** Where the final length is known, memory is reserved once, and used as it fills. */
  constructor(create: (buffer: SharedArrayBuffer) => T, finalLength?: number) {
    this.#create = create
    const elementBytes = create(new SharedArrayBuffer(0)).BYTES_PER_ELEMENT
    const bytes = finalLength === undefined ? FIRST_BYTES : finalLength * elementBytes
    this.#array = create(new SharedArrayBuffer(bytes))
  }

  push(value: number): void {
    this.#reserve(1)
    this.#array[this.length++] = value
  }

  pushBytes(bytes: Uint8Array): void {
    this.#reserve(bytes.length)
    this.#array.set(bytes, this.length)
    this.length += bytes.length
  }

  /** The filled part over memory of exactly its size. */
  finish(): T {
    if (this.length === this.#array.length) return this.#array
    const exact = this.#create(new SharedArrayBuffer(this.length * this.#array.BYTES_PER_ELEMENT))
    exact.set(this.#array.subarray(0, this.length))
    return exact
  }

  #reserve(count: number): void {
    if (this.length + count <= this.#array.length) return
    const grown = this.#create(new SharedArrayBuffer(Math.max(4096, this.#array.byteLength * 2)))
    grown.set(this.#array)
    this.#array = grown
  }
}

const float64 = (buffer: SharedArrayBuffer) => new Float64Array(buffer)
const uint32 = (buffer: SharedArrayBuffer) => new Uint32Array(buffer)
const uint8 = (buffer: SharedArrayBuffer) => new Uint8Array(buffer)

function lengthOf(count: number | undefined, bytesEach: number): number | undefined {
  return count === undefined ? undefined : count * bytesEach
}

/** SHA-256 of pieces, 32 bytes each, as they become known in order. */
export class HashColumn {
  readonly #hashes: GrowingColumn<Uint8Array>

  /** `finalCount`, where it is known, saves growing. */
  constructor(finalCount?: number) {
    this.#hashes = new GrowingColumn(uint8, lengthOf(finalCount, SHA256_BYTES))
  }

  get count(): number {
    return this.#hashes.length / SHA256_BYTES
  }

  add(sha256: Uint8Array): void {
    this.#hashes.pushBytes(sha256)
  }

  finish(): Uint8Array {
    return this.#hashes.finish()
  }
}

export interface ChunkRecord {
  readonly tarOffset: number
  readonly lengthBytes: number
  readonly packOffset: number
  readonly packedBytes: number
  readonly sha256: Uint8Array
}

/** Collects chunks in order and refuses one that is out of its place. */
export class ChunkTableBuilder {
  readonly #pieceLengthBytes: number
  readonly #tarOffset: GrowingColumn<Float64Array>
  readonly #lengthBytes: GrowingColumn<Uint32Array>
  readonly #packOffset: GrowingColumn<Float64Array>
  readonly #packedBytes: GrowingColumn<Uint32Array>
  readonly #sha256: GrowingColumn<Uint8Array>
  readonly #firstOfPiece = new GrowingColumn(uint32)
  /** End of the chunks so far, in the tar and in the pack. */
  tarEnd = 0
  packEnd = 0

  /** Throws RangeError for a `finalCount` that no memory could hold; it is not exceeded. */
  constructor(pieceLengthBytes: number, finalCount?: number) {
    this.#pieceLengthBytes = pieceLengthBytes
    this.#tarOffset = new GrowingColumn(float64, finalCount)
    this.#lengthBytes = new GrowingColumn(uint32, finalCount)
    this.#packOffset = new GrowingColumn(float64, finalCount)
    this.#packedBytes = new GrowingColumn(uint32, finalCount)
    this.#sha256 = new GrowingColumn(uint8, lengthOf(finalCount, SHA256_BYTES))
  }

  get count(): number {
    return this.#tarOffset.length
  }

  get pieceCount(): number {
    return this.#firstOfPiece.length
  }

  /** Why this chunk cannot be the next one, or undefined after it was added. */
  add(chunk: ChunkRecord): string | undefined {
    if (chunk.tarOffset !== this.tarEnd) return 'it does not continue the tar'
    if (chunk.lengthBytes < 1 || chunk.packedBytes < 1) return 'it is empty'
    const pieceStart = this.pieceCount * this.#pieceLengthBytes
    const isFirst = chunk.packOffset === pieceStart
    if (!isFirst && (chunk.packOffset !== this.packEnd || this.packEnd === 0)) {
      return 'its frame does not follow the one before'
    }
    const pieceEnd = isFirst ? pieceStart + this.#pieceLengthBytes : pieceStart
    const rest = pieceEnd - chunk.packOffset - chunk.packedBytes
    if (rest < 0) return 'its frame crosses the end of its piece'
    if (isFirst && !this.#isFilled(pieceStart)) return 'the piece before it cannot be filled'
    this.#append(chunk, isFirst)
    return undefined
  }

  #isFilled(pieceStart: number): boolean {
    const rest = pieceStart - this.packEnd
    return rest === 0 || rest >= SKIPPABLE_HEADER_BYTES
  }

  #append(chunk: ChunkRecord, isFirst: boolean): void {
    if (isFirst) this.#firstOfPiece.push(this.count)
    this.#tarOffset.push(chunk.tarOffset)
    this.#lengthBytes.push(chunk.lengthBytes)
    this.#packOffset.push(chunk.packOffset)
    this.#packedBytes.push(chunk.packedBytes)
    this.#sha256.pushBytes(chunk.sha256)
    this.tarEnd += chunk.lengthBytes
    this.packEnd = chunk.packOffset + chunk.packedBytes
  }

  finish(): ChunkTable {
    const firstOfPiece = uint32(new SharedArrayBuffer(4 * (this.pieceCount + 1)))
    firstOfPiece.set(this.#firstOfPiece.finish())
    firstOfPiece[this.pieceCount] = this.count
    return {
      count: this.count,
      tarOffset: this.#tarOffset.finish(),
      lengthBytes: this.#lengthBytes.finish(),
      packOffset: this.#packOffset.finish(),
      packedBytes: this.#packedBytes.finish(),
      sha256: this.#sha256.finish(),
      firstOfPiece,
    }
  }
}
