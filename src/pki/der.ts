// The little of DER that no library of ours offers: tag, length, value (ITU-T X.690). Pure.

/** One element. `tag` is the whole identifier octet: 0x30 SEQUENCE, 0x31 SET, 0x04 OCTET STRING … */
export function encodeDer(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts)
  return Buffer.concat([Buffer.from([tag]), encodeLength(content.length), content])
}

export const derSequence = (...parts: readonly Uint8Array[]): Buffer => encodeDer(0x30, ...parts)

export const derOctetString = (bytes: Uint8Array): Buffer => encodeDer(0x04, bytes)

export const derBitString = (bytes: Uint8Array): Buffer => encodeDer(0x03, Buffer.of(0), bytes)

/** Not negative, below 2^31. */
export function derInteger(value: number): Buffer {
  const bytes = [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255]
  while (bytes.length > 1 && bytes[0] === 0 && (bytes[1] ?? 0) < 128) bytes.shift()
  return encodeDer(0x02, Uint8Array.from(bytes))
}

/** `1.2.840.113549.1.5.13`; the first two arcs share an octet. */
export function derObjectIdentifier(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number)
  return encodeDer(0x06, Uint8Array.from([first * 40 + second, ...rest.flatMap(encodeBase128)]))
}

function encodeBase128(value: number): number[] {
  const septets = [value % 128]
  for (let rest = Math.floor(value / 128); rest > 0; rest = Math.floor(rest / 128)) {
    septets.unshift(128 + (rest % 128))
  }
  return septets
}

function encodeLength(length: number): Buffer {
  if (length < 128) return Buffer.of(length)
  const octets = Buffer.alloc(4)
  octets.writeUInt32BE(length)
  const used = octets.subarray(octets.findIndex((octet) => octet > 0))
  return Buffer.concat([Buffer.of(0x80 + used.length), used])
}

const CONSTRUCTED = 0x20
const LONG_TAG = 0x1f
const BIT_STRING = 0x03
const DEEPEST = 64

/**
 * True when the bytes are one element whose parts fill it exactly, with lengths as short as can be: the
 * library reads wrong lengths as if they were right, and so one signature in many forms.
 */
export function isDer(bytes: Uint8Array): boolean {
  return endOfElement(bytes, { start: 0, end: bytes.length, depth: 0 }) === bytes.length
}

interface DerRange {
  readonly start: number
  readonly end: number
  readonly depth: number
}

/** Where the element at `start` ends; -1 when it is none. */
function endOfElement(bytes: Uint8Array, { start, end, depth }: DerRange): number {
  const [tag = 0, first = 0] = [bytes[start], bytes[start + 1]]
  const lengthBytes = first < 0x80 ? 0 : first - 0x80
  const content = start + 2 + lengthBytes
  if (content > end || depth > DEEPEST || (tag & LONG_TAG) === LONG_TAG) return -1
  let length = first < 0x80 ? first : 0
  for (const octet of bytes.subarray(start + 2, content)) length = length * 256 + octet
  const isShortest = lengthBytes === 0 ? first !== 0x80 : length >= 0x80 && bytes[start + 2] !== 0
  const stop = content + length
  if (!isShortest || lengthBytes > 4 || stop > end) return -1
  if (tag === BIT_STRING && bytes[content] !== 0) return -1 // signatures and keys are whole octets
  if ((tag & CONSTRUCTED) === 0) return stop
  for (let at = content; at < stop;) {
    at = endOfElement(bytes, { start: at, end: stop, depth: depth + 1 })
    if (at < 0) return -1
  }
  return stop
}
