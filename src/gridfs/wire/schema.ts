// Values on the wire, described once: a codec writes and reads the same bytes. Little endian; lengths are
// bounded where they are declared, so that no peer makes the other take memory. Pure. PROTOCOL.md §3.
import { type SiError } from '../../core/core.ts'
import { FuseError } from '../fuse/errno.ts'
import { FieldReader, malformed } from '../field-reader.ts'

export interface Codec<Value> {
  write(into: WireWriter, value: Value): void
  /** Throws ERR_SI_PROTOCOL on anything that `write` cannot have made. */
  read(from: FieldReader): Value
}

export type ValueOf<Described> = Described extends Codec<infer Value> ? Value : never

const FIRST_BYTES = 256

/** Bytes that grow as they are written. */
export class WireWriter {
  #bytes = Buffer.allocUnsafe(FIRST_BYTES)
  #length = 0

  u8(value: number): void {
    const at = this.#room(1)
    this.#bytes.writeUInt8(value, at)
  }

  u16(value: number): void {
    const at = this.#room(2)
    this.#bytes.writeUInt16LE(value, at)
  }

  u32(value: number): void {
    const at = this.#room(4)
    this.#bytes.writeUInt32LE(value, at)
  }

  i64(value: bigint): void {
    const at = this.#room(8)
    this.#bytes.writeBigInt64LE(value, at)
  }

  bytes(value: Uint8Array): void {
    const at = this.#room(value.length)
    this.#bytes.set(value, at)
  }

  /** What was written; nothing may be written any more. */
  finished(): Buffer {
    return this.#bytes.subarray(0, this.#length)
  }

  /** Where the next bytes go; `#bytes` may be another buffer afterwards. */
  #room(lengthBytes: number): number {
    const at = this.#length
    this.#length += lengthBytes
    if (this.#length > this.#bytes.length) {
      const larger = Buffer.allocUnsafe(Math.max(this.#length, this.#bytes.length * 2))
      larger.set(this.#bytes.subarray(0, at))
      this.#bytes = larger
    }
    return at
  }
}

const MESSAGE = 'message'

export function malformedMessage(fault: string): SiError {
  return malformed(MESSAGE, fault)
}

/** The values of a message; all of its bytes are read. */
export function readAll<Value>(codec: Codec<Value>, bytes: Buffer): Value {
  const reader = new FieldReader(bytes, MESSAGE)
  const value = codec.read(reader)
  if (reader.remainingBytes > 0) throw malformedMessage('bytes are left over')
  return value
}

export const u8: Codec<number> = {
  write: (into, value) => into.u8(value),
  read: (from) => from.u8(),
}

export const u32: Codec<number> = {
  write: (into, value) => into.u32(value),
  read: (from) => from.u32(),
}

/** A signed number of 64 bits: times in nanoseconds, ends of locks. */
export const i64: Codec<bigint> = {
  write: (into, value) => into.i64(value),
  read: (from) => from.i64(),
}

/** A whole number from 0 to 2^53 - 1: offsets, sizes, counts. More is more than any file has: EFBIG. */
export const whole: Codec<number> = {
  write(into, value) {
    if (value > Number.MAX_SAFE_INTEGER) throw new FuseError('EFBIG')
    into.u32(value % 2 ** 32)
    into.u32(Math.floor(value / 2 ** 32))
  },
  read: (from) => from.number(),
}

export const flag: Codec<boolean> = {
  write: (into, value) => into.u8(value ? 1 : 0),
  read(from) {
    const value = from.u8()
    if (value > 1) throw malformedMessage(`${value} is neither yes nor no`)
    return value === 1
  },
}

/** Bytes with their length before them; at most `maximumBytes`, which is at most 65 535. */
export function bytes(maximumBytes: number): Codec<Uint8Array> {
  return {
    write(into, value) {
      if (value.length > maximumBytes) throw malformedMessage(`${value.length} bytes are too many`)
      into.u16(value.length)
      into.bytes(value)
    },
    read(from) {
      const length = from.u16()
      if (length > maximumBytes) throw malformedMessage(`${length} bytes are too many`)
      return from.bytes(length)
    },
  }
}

/** One of a few words. */
export function oneOf<const Word extends string>(...words: readonly Word[]): Codec<Word> {
  return {
    write: (into, value) => into.u8(words.indexOf(value)),
    read(from) {
      const word = words[from.u8()]
      if (word === undefined) throw malformedMessage(`not one of ${words.join(', ')}`)
      return word
    },
  }
}

export function optional<Value>(of: Codec<Value>): Codec<Value | undefined> {
  return {
    write(into, value) {
      flag.write(into, value !== undefined)
      if (value !== undefined) of.write(into, value)
    },
    read: (from) => (flag.read(from) ? of.read(from) : undefined),
  }
}

export function list<Value>(of: Codec<Value>, maximum: number): Codec<readonly Value[]> {
  return {
    write(into, values) {
      if (values.length > maximum) throw malformedMessage(`${values.length} entries are too many`)
      into.u32(values.length)
      for (const value of values) of.write(into, value)
    },
    read(from) {
      const count = from.u32()
      if (count > maximum) throw malformedMessage(`${count} entries are too many`)
      const values: Value[] = []
      for (let index = 0; index < count; index += 1) values.push(of.read(from))
      return values
    },
  }
}

type Fields = Readonly<Record<string, Codec<never>>>
type StructOf<Described> = { readonly [Name in keyof Described]: ValueOf<Described[Name]> }

/** Fields one after the other, in the order in which they are declared. */
export function struct<const Described extends object>(
  fields: Described,
): Codec<StructOf<Described>> {
  const codecs = Object.entries(fields as Fields)
  return {
    write(into, value) {
      const values = value as Readonly<Record<string, never>>
      for (const [name, codec] of codecs) codec.write(into, values[name] as never)
    },
    read(from) {
      const values: Record<string, unknown> = {}
      for (const [name, codec] of codecs) values[name] = codec.read(from)
      return values as StructOf<Described>
    },
  }
}
