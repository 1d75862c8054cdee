// What a mount must still know when another process takes it over, as records in a file without a name that
// both inherit. Invariant: a record is in the file before the kernel gets the answer that depends on it;
// records that were cut off, by the end of the process in the middle of writing, were not needed yet.
//
// The first page says where the records begin. Each is its length, a CRC-32 and its fields; a length of 0
// ends them. A shorter list is written behind the old one before the first page points to it.
import { fstatSync, readSync, writeSync } from 'node:fs'
import { crc32 } from 'node:zlib'
import { fallocate } from '../../host/host.ts'
import { readAll, WireWriter, type Codec, type ValueOf } from '../wire/schema.ts'
import { stateRecords, type StateName, type StateRecord } from './state-records.ts'

const PAGE_BYTES = 4096
const HEAD_BYTES = 8
/** Below this the list is not worth shortening. */
const SHORT_BYTES = 2 ** 20
/** Records of one write when the list is written anew. */
const BATCH_BYTES = 2 ** 20
/** FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE: gives the memory of a range back. */
const PUNCH_HOLE = 3

export class StateLog {
  readonly #fd: number
  #start = PAGE_BYTES
  #end = PAGE_BYTES
  /** How long the list was when it was written last. */
  #shortestBytes = 0
  #waiting: Buffer[] = []
  #waitingBytes = 0

  /** The descriptor stays the caller's. */
  constructor(fd: number) {
    this.#fd = fd
  }

  /** What earlier processes have written, oldest first. To be called once, before anything is written. */
  read(): readonly StateRecord[] {
    const { size } = fstatSync(this.#fd)
    const bytes = Buffer.alloc(size)
    for (let at = 0; at < size;) {
      const lengthBytes = readSync(this.#fd, bytes, at, size - at, at)
      if (lengthBytes === 0) break
      at += lengthBytes
    }
    if (size >= PAGE_BYTES) this.#start = Math.max(PAGE_BYTES, Number(bytes.readBigUInt64LE(0)))
    this.#end = Math.max(PAGE_BYTES, size)
    return [...recordsIn(bytes.subarray(this.#start))]
  }

  /** Taken; written with the next `flush`. */
  add(record: StateRecord): void {
    const bytes = encodeRecord(record)
    this.#waiting.push(bytes)
    this.#waitingBytes += bytes.length
  }

  flush(): void {
    if (this.#waitingBytes === 0) return
    const bytes = this.#waiting.length === 1 ? this.#waiting[0] : Buffer.concat(this.#waiting)
    if (bytes !== undefined) this.#write(bytes)
    this.#waiting = []
    this.#waitingBytes = 0
  }

  /** Whether most of the list says what is not so any more. */
  get isLong(): boolean {
    return this.#end - this.#start > SHORT_BYTES + 2 * this.#shortestBytes
  }

  /** Replaces all records by these, which say the same. */
  shorten(records: Iterable<StateRecord>): void {
    this.flush()
    const old = { start: this.#start, end: this.#end }
    // Behind what was cut off, too.
    const start = Math.ceil((this.#end + HEAD_BYTES) / PAGE_BYTES) * PAGE_BYTES
    this.#end = start
    for (const record of records) {
      this.add(record)
      if (this.#waitingBytes >= BATCH_BYTES) this.flush()
    }
    this.flush()
    const page = Buffer.alloc(8)
    page.writeBigUInt64LE(BigInt(start))
    writeSync(this.#fd, page, 0, page.length, 0)
    this.#start = start
    this.#shortestBytes = this.#end - start
    fallocate(this.#fd, PUNCH_HOLE, old.start, start - old.start)
  }

  #write(bytes: Buffer): void {
    for (let done = 0; done < bytes.length;) {
      done += writeSync(this.#fd, bytes, done, bytes.length - done, this.#end + done)
    }
    this.#end += bytes.length
  }
}

function* recordsIn(bytes: Buffer): Generator<StateRecord> {
  for (let at = 0; at + HEAD_BYTES <= bytes.length;) {
    const [lengthBytes, sum] = [bytes.readUInt32LE(at), bytes.readUInt32LE(at + 4)]
    const end = at + HEAD_BYTES + lengthBytes
    if (lengthBytes === 0 || end > bytes.length) return
    const body = bytes.subarray(at + HEAD_BYTES, end)
    if (crc32(body) !== sum) return
    yield decodeRecord(body)
    at = end
  }
}

const names: readonly (StateName | undefined)[] = indexByCode()

function indexByCode(): (StateName | undefined)[] {
  const found: (StateName | undefined)[] = []
  for (const [name, { code }] of Object.entries(stateRecords)) found[code] = name as StateName
  return found
}

function encodeRecord({ name, body }: StateRecord): Buffer {
  const kind = stateRecords[name]
  const writer = new WireWriter()
  writer.u32(0)
  writer.u32(0)
  writer.u8(kind.code)
  const codec: Codec<unknown> = kind.body as Codec<ValueOf<typeof kind.body>>
  codec.write(writer, body)
  const bytes = writer.finished()
  const content = bytes.subarray(HEAD_BYTES)
  bytes.writeUInt32LE(content.length, 0)
  bytes.writeUInt32LE(crc32(content), 4)
  return bytes
}

function decodeRecord(bytes: Buffer): StateRecord {
  const name = names[bytes.readUInt8(0)]
  if (name === undefined) throw new TypeError(`no record of a mount has the number ${bytes[0]}`)
  const codec = stateRecords[name].body as Codec<unknown>
  return { name, body: readAll(codec, bytes.subarray(1)) } as StateRecord
}
