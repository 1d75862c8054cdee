// Collects manifest entries into an EntryTable while the manifest is being read, so that the entries
// themselves never exist all at once.
import { SiError, toTimespec } from '../core/core.ts'
import { ENTRY_TYPES, type EntryType, type ManifestEntry } from '../image/image.ts'
import { encodeDetails, type EntryTable } from './entry-table.ts'

const KIND_NUMBERS = Object.fromEntries(
  ENTRY_TYPES.map((kind, number) => [kind, number]),
) as Readonly<Record<EntryType, number>>

/** Uint32 positions bound the bytes of all paths, and of all details, together. */
const MAX_POSITION = 2 ** 32 - 1

export class EntryTableBuilder {
  readonly #paths = new Column((buffer) => new Uint8Array(buffer))
  readonly #pathStart = new Column((buffer) => new Uint32Array(buffer))
  readonly #kinds = new Column((buffer) => new Uint8Array(buffer))
  readonly #modes = new Column((buffer) => new Uint16Array(buffer))
  readonly #uids = new Column((buffer) => new Uint32Array(buffer))
  readonly #gids = new Column((buffer) => new Uint32Array(buffer))
  readonly #mtimeSeconds = new Column((buffer) => new Float64Array(buffer))
  readonly #mtimeNanoseconds = new Column((buffer) => new Uint32Array(buffer))
  readonly #sizes = new Column((buffer) => new Float64Array(buffer))
  readonly #isSparse = new Column((buffer) => new Uint8Array(buffer))
  readonly #details = new Column((buffer) => new Uint8Array(buffer))
  readonly #detailStart = new Column((buffer) => new Uint32Array(buffer))
  readonly #segmentTarOffset = new Column((buffer) => new Float64Array(buffer))
  readonly #segmentBytes = new Column((buffer) => new Float64Array(buffer))
  readonly #segmentEntry = new Column((buffer) => new Uint32Array(buffer))
  readonly #segmentFileOffset = new Column((buffer) => new Float64Array(buffer))
  #dataEnd = 0

  /** Entries in the order of the manifest. Throws ERR_SI_MANIFEST_FORMAT when data ranges overlap. */
  add(entry: ManifestEntry): void {
    this.#pathStart.push(this.#position(this.#paths))
    this.#paths.append(entry.path)
    this.#kinds.push(KIND_NUMBERS[entry.type])
    this.#modes.push(entry.mode)
    this.#uids.push(entry.uid)
    this.#gids.push(entry.gid)
    const { seconds, nanoseconds } = toTimespec(entry.mtimeNs)
    this.#mtimeSeconds.push(Number(seconds))
    this.#mtimeNanoseconds.push(Number(nanoseconds))
    this.#sizes.push(entry.sizeBytes)
    this.#isSparse.push(entry.sparse === null ? 0 : 1)
    this.#detailStart.push(this.#position(this.#details))
    const { linkTarget, deviceMajor, deviceMinor, xattrs } = entry
    if (linkTarget !== null || xattrs.length > 0 || /^(character|block)$/.test(entry.type)) {
      const target = linkTarget ?? Buffer.alloc(0)
      this.#details.append(encodeDetails({ linkTarget: target, deviceMajor, deviceMinor, xattrs }))
    }
    if (entry.type === 'file') this.#addSegments(entry)
  }

  build(): EntryTable {
    this.#pathStart.push(this.#position(this.#paths))
    this.#detailStart.push(this.#position(this.#details))
    return {
      count: this.#kinds.length,
      paths: this.#paths.toArray(),
      pathStart: this.#pathStart.toArray(),
      kinds: this.#kinds.toArray(),
      modes: this.#modes.toArray(),
      uids: this.#uids.toArray(),
      gids: this.#gids.toArray(),
      mtimeSeconds: this.#mtimeSeconds.toArray(),
      mtimeNanoseconds: this.#mtimeNanoseconds.toArray(),
      sizes: this.#sizes.toArray(),
      isSparse: this.#isSparse.toArray(),
      details: this.#details.toArray(),
      detailStart: this.#detailStart.toArray(),
      segmentCount: this.#segmentEntry.length,
      segmentTarOffset: this.#segmentTarOffset.toArray(),
      segmentBytes: this.#segmentBytes.toArray(),
      segmentEntry: this.#segmentEntry.toArray(),
      segmentFileOffset: this.#segmentFileOffset.toArray(),
    }
  }

  #addSegments(entry: ManifestEntry): void {
    let tarOffset = entry.dataOffset
    for (const { offset, length } of entry.sparse ?? [{ offset: 0, length: entry.sizeBytes }]) {
      if (length === 0) continue
      if (tarOffset < this.#dataEnd) {
        throw new SiError('ERR_SI_MANIFEST_FORMAT', 'Cannot use manifest: data of files overlaps')
      }
      this.#segmentTarOffset.push(tarOffset)
      this.#segmentBytes.push(length)
      this.#segmentEntry.push(this.#kinds.length - 1)
      this.#segmentFileOffset.push(offset)
      tarOffset += length
      this.#dataEnd = tarOffset
    }
  }

  #position(column: Column<Uint8Array>): number {
    if (column.length <= MAX_POSITION) return column.length
    throw new SiError('ERR_SI_MANIFEST_FORMAT', 'Cannot use manifest: more than 4 GiB of names')
  }
}

type NumberArray = Uint8Array | Uint16Array | Uint32Array | Float64Array

const FIRST_CAPACITY = 1024

/** A growing array of numbers over shared memory; doubling wastes no resident memory, only address space. */
class Column<T extends NumberArray> {
  readonly #create: (buffer: SharedArrayBuffer) => T
  #array: T
  length = 0

  constructor(create: (buffer: SharedArrayBuffer) => T) {
    this.#create = create
    const elementBytes = create(new SharedArrayBuffer(0)).BYTES_PER_ELEMENT
    this.#array = create(new SharedArrayBuffer(FIRST_CAPACITY * elementBytes))
  }

  push(value: number): void {
    this.#reserve(this.length + 1)
    this.#array[this.length++] = value
  }

  append(values: ArrayLike<number>): void {
    this.#reserve(this.length + values.length)
    this.#array.set(values, this.length)
    this.length += values.length
  }

  toArray(): T {
    return this.#array.subarray(0, this.length) as T
  }

  #reserve(length: number): void {
    if (length <= this.#array.length) return
    const capacity = Math.max(length, this.#array.length * 2)
    const grown = this.#create(new SharedArrayBuffer(capacity * this.#array.BYTES_PER_ELEMENT))
    grown.set(this.#array)
    this.#array = grown
  }
}
