// Bencoding: the serialisation of torrents, trackers and extension messages. Decoding is strict: one
// spelling per value, keys sorted and unique, nothing after the end; and bounded, so that hostile
// input costs no more than its own length. Spec: BEP 3.
import { asBuffer, SiError } from '../core/core.ts'

/** A decoded value. Strings are Buffers over the input's memory; keys are latin1 text. */
export type BencodeValue =
  number | Buffer | readonly BencodeValue[] | ReadonlyMap<string, BencodeValue>

/** What can be encoded. Text is encoded as UTF-8, keys as latin1. */
export type Bencodable =
  | number
  | string
  | Uint8Array
  | readonly Bencodable[]
  | { readonly [key: string]: Bencodable }
  | ReadonlyMap<string, Bencodable>

export interface BencodeLimits {
  /** Longest input that is looked at at all. Default 64 MiB: the torrent of a 200 TB image. */
  readonly maxBytes?: number
  /** Lists and dictionaries within each other. Default 32. */
  readonly maxDepth?: number
  /** Accepts dictionaries whose keys are not sorted, as some trackers and peers send them. */
  readonly allowUnsortedKeys?: boolean
}

const DEFAULT_LIMITS: Required<BencodeLimits> = {
  maxBytes: 64 * 2 ** 20,
  maxDepth: 32,
  allowUnsortedKeys: false,
}

/** Bytes → value. Throws ERR_SI_BENCODE. */
export function decodeBencode(bytes: Uint8Array, limits: BencodeLimits = {}): BencodeValue {
  const { value, endOffset } = decodeBencodePrefix(bytes, limits)
  if (endOffset !== bytes.length) throw fault(endOffset, 'data after the end of the value')
  return value
}

/** As decodeBencode, for a value that other data follows. `endOffset` is where that begins. */
export function decodeBencodePrefix(
  bytes: Uint8Array,
  limits: BencodeLimits = {},
): { readonly value: BencodeValue; readonly endOffset: number } {
  const reader = createReader(bytes, { ...DEFAULT_LIMITS, ...limits })
  return { value: readValue(reader, 0), endOffset: reader.offset }
}

/**
 * The bytes of one value of the dictionary `bytes`, exactly as they stand there (over the same
 * memory), or undefined when it has no such key. An info hash is taken over these. Throws
 * ERR_SI_BENCODE.
 */
export function bencodedValueOf(
  bytes: Uint8Array,
  key: string,
  limits: BencodeLimits = {},
): Buffer | undefined {
  const reader = createReader(bytes, { ...DEFAULT_LIMITS, ...limits })
  if (reader.bytes[0] !== LETTER_D) throw fault(0, 'not a dictionary')
  let found: Buffer | undefined
  readDictionary(reader, 0, (name, start) => {
    if (name === key) found = reader.bytes.subarray(start, reader.offset)
  })
  return found
}

/** Value → bytes, keys sorted. Numbers must be safe integers; throws ERR_SI_INTERNAL otherwise. */
export function encodeBencode(value: Bencodable): Buffer {
  const parts: Uint8Array[] = []
  write(value, parts)
  return Buffer.concat(parts)
}

const LETTER_D = 0x64
const LETTER_E = 0x65
const LETTER_I = 0x69
const LETTER_L = 0x6c
const COLON = 0x3a
const MINUS = 0x2d
const DIGIT_0 = 0x30
const DIGIT_9 = 0x39

/** More digits than a safe integer has. */
const MAX_DIGITS = 16

interface Reader {
  readonly bytes: Buffer
  readonly limits: Required<BencodeLimits>
  offset: number
}

function createReader(bytes: Uint8Array, limits: Required<BencodeLimits>): Reader {
  if (bytes.length > limits.maxBytes) {
    throw fault(0, `${bytes.length} bytes are more than the ${limits.maxBytes} allowed here`)
  }
  return { bytes: asBuffer(bytes), limits, offset: 0 }
}

function fault(offset: number, what: string): SiError {
  return new SiError('ERR_SI_BENCODE', `Cannot read bencoded data at byte ${offset}: ${what}`)
}

function readValue(reader: Reader, depth: number): BencodeValue {
  if (depth > reader.limits.maxDepth) throw fault(reader.offset, 'nested too deeply')
  const first = reader.bytes[reader.offset]
  if (first === undefined) throw fault(reader.offset, 'it ends too early')
  if (first === LETTER_I) return readInteger(reader)
  if (first === LETTER_L) return readList(reader, depth)
  if (first === LETTER_D) {
    const map = new Map<string, BencodeValue>()
    readDictionary(reader, depth, (key, _start, value) => map.set(key, value))
    return map
  }
  return readString(reader)
}

/** Digits up to `end`, without a superfluous zero. */
function readDigits(reader: Reader, end: number): number {
  const start = reader.offset
  let value = 0
  for (;;) {
    const byte = reader.bytes[reader.offset]
    if (byte === undefined) throw fault(reader.offset, 'it ends too early')
    if (byte === end && reader.offset > start) break
    if (byte < DIGIT_0 || byte > DIGIT_9) throw fault(reader.offset, 'a digit is missing')
    if (reader.offset - start >= MAX_DIGITS) throw fault(start, 'number too large')
    value = value * 10 + (byte - DIGIT_0)
    reader.offset++
  }
  if (reader.bytes[start] === DIGIT_0 && reader.offset - start > 1) {
    throw fault(start, 'number with a leading zero')
  }
  if (!Number.isSafeInteger(value)) throw fault(start, 'number too large')
  reader.offset++
  return value
}

function readInteger(reader: Reader): number {
  reader.offset++
  const isNegative = reader.bytes[reader.offset] === MINUS
  if (isNegative) reader.offset++
  const value = readDigits(reader, LETTER_E)
  if (isNegative && value === 0) throw fault(reader.offset, 'minus zero')
  return isNegative ? -value : value
}

function readString(reader: Reader): Buffer {
  const lengthBytes = readDigits(reader, COLON)
  const end = reader.offset + lengthBytes
  if (end > reader.bytes.length) throw fault(reader.offset, 'it ends too early')
  const value = reader.bytes.subarray(reader.offset, end)
  reader.offset = end
  return value
}

function readList(reader: Reader, depth: number): BencodeValue[] {
  const list: BencodeValue[] = []
  reader.offset++
  while (reader.bytes[reader.offset] !== LETTER_E) list.push(readValue(reader, depth + 1))
  reader.offset++
  return list
}

function readDictionary(
  reader: Reader,
  depth: number,
  onEntry: (key: string, valueStart: number, value: BencodeValue) => void,
): void {
  const seen = reader.limits.allowUnsortedKeys ? new Set<string>() : undefined
  let previous: string | undefined
  reader.offset++
  while (reader.bytes[reader.offset] !== LETTER_E) {
    const at = reader.offset
    const key = readString(reader).toString('latin1')
    if (seen?.has(key) || key === previous) throw fault(at, 'a key occurs twice')
    if (!seen && previous !== undefined && key < previous) throw fault(at, 'keys are not sorted')
    seen?.add(key)
    previous = key
    const start = reader.offset
    onEntry(key, start, readValue(reader, depth + 1))
  }
  reader.offset++
}

function write(value: Bencodable, parts: Uint8Array[]): void {
  if (typeof value === 'number') {
    if (!Number.isSafeInteger(value)) {
      throw new SiError('ERR_SI_INTERNAL', `Cannot bencode ${value}: not a safe integer`)
    }
    parts.push(Buffer.from(`i${value === 0 ? 0 : value}e`))
  } else if (typeof value === 'string') {
    writeString(Buffer.from(value, 'utf8'), parts)
  } else if (value instanceof Uint8Array) {
    writeString(value, parts)
  } else if (Array.isArray(value)) {
    parts.push(Buffer.from('l'))
    for (const item of value as readonly Bencodable[]) write(item, parts)
    parts.push(Buffer.from('e'))
  } else {
    writeDictionary(value as ReadonlyMap<string, Bencodable>, parts)
  }
}

function writeString(bytes: Uint8Array, parts: Uint8Array[]): void {
  parts.push(Buffer.from(`${bytes.length}:`), bytes)
}

function writeDictionary(
  value: ReadonlyMap<string, Bencodable> | { readonly [key: string]: Bencodable },
  parts: Uint8Array[],
): void {
  const entries: [string, Bencodable][] =
    value instanceof Map ? [...(value as Map<string, Bencodable>)] : Object.entries(value)
  parts.push(Buffer.from('d'))
  entries.sort(([a], [b]) => (a < b ? -1 : 1))
  for (const [key, item] of entries) {
    writeString(Buffer.from(key, 'latin1'), parts)
    write(item, parts)
  }
  parts.push(Buffer.from('e'))
}
