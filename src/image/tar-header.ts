// One 512-byte tar header: ustar, GNU and v7 fields as they stand, before pax records override them.
// Invariant: a block whose checksum does not match is never interpreted. Spec: POSIX.1-2017 pax
// "ustar Interchange Format", GNU tar manual "Basic Tar Format" (base-256 numbers).
import { asBuffer, SiError } from '../core/core.ts'

export const TAR_BLOCK_BYTES = 512

export interface TarHeader {
  /** Prefix and name joined; not normalised. */
  readonly name: Buffer
  /** Twelve permission bits. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly sizeBytes: number
  readonly mtimeSeconds: number
  /** The type flag as a character; the old NUL flag reads as `0`. */
  readonly typeFlag: string
  readonly linkName: Buffer
  readonly deviceMajor: number
  readonly deviceMinor: number
}

const CHECKSUM_OFFSET = 148
const CHECKSUM_BYTES = 8
const SPACE = 0x20

/** True for a block of zeros, two of which end an archive. */
export function isZeroBlock(block: Uint8Array): boolean {
  for (let i = 0; i < TAR_BLOCK_BYTES; i++) if (block[i] !== 0) return false
  return true
}

/** ERR_SI_TAR_FORMAT naming the byte of the tar stream where reading stopped making sense. */
export function tarError(tarOffset: number, reason: string): SiError {
  return new SiError('ERR_SI_TAR_FORMAT', `Cannot read tar stream at byte ${tarOffset}: ${reason}`)
}

/**
 * Reads one header block. The result owns its memory. Throws ERR_SI_TAR_FORMAT on a wrong checksum
 * or a number that is not octal, not base-256 or beyond 2^53.
 */
export function parseTarHeader(bytes: Uint8Array, tarOffset: number): TarHeader {
  const block = asBuffer(bytes)
  checkSum(block, tarOffset)
  const number = (start: number, end: number) => parseNumber(block, start, end, tarOffset)
  const flag = block[156] ?? 0
  const hasPrefix = block.toString('latin1', 257, 263) === 'ustar\0'
  const hasDevice = block.toString('latin1', 257, 262) === 'ustar'
  return {
    name: joinName(
      hasPrefix ? textField(block, 345, 500) : Buffer.alloc(0),
      textField(block, 0, 100),
    ),
    mode: number(100, 108) & 0o7777,
    uid: number(108, 116),
    gid: number(116, 124),
    sizeBytes: number(124, 136),
    mtimeSeconds: number(136, 148),
    typeFlag: flag === 0 ? '0' : String.fromCharCode(flag),
    linkName: textField(block, 157, 257),
    deviceMajor: hasDevice ? number(329, 337) : 0,
    deviceMinor: hasDevice ? number(337, 345) : 0,
  }
}

function joinName(prefix: Buffer, name: Buffer): Buffer {
  return prefix.length === 0 ? name : Buffer.concat([prefix, Buffer.from('/'), name])
}

function textField(block: Buffer, start: number, end: number): Buffer {
  const zero = block.indexOf(0, start)
  return Buffer.from(block.subarray(start, zero === -1 || zero > end ? end : zero))
}

/** Old writers summed signed bytes; both sums are accepted, as every tar does. */
function checkSum(block: Buffer, tarOffset: number): void {
  let sum = CHECKSUM_BYTES * SPACE
  let highBytes = 0
  for (let i = 0; i < TAR_BLOCK_BYTES; i++) {
    const byte = block[i] ?? 0
    sum += byte
    highBytes += byte >> 7
  }
  for (let i = 0; i < CHECKSUM_BYTES; i++) {
    const byte = block[CHECKSUM_OFFSET + i] ?? 0
    sum -= byte
    highBytes -= byte >> 7
  }
  const stored = parseNumber(block, CHECKSUM_OFFSET, CHECKSUM_OFFSET + CHECKSUM_BYTES, tarOffset)
  if (stored !== sum && stored !== sum - 256 * highBytes) {
    throw tarError(tarOffset, 'header checksum does not match')
  }
}

function parseNumber(block: Buffer, start: number, end: number, tarOffset: number): number {
  const first = block[start] ?? 0
  if ((first & 0x80) !== 0) return parseBase256(block, start, end, tarOffset)
  let position = start
  while (position < end && block[position] === SPACE) position++
  let value = 0
  for (; position < end; position++) {
    const byte = block[position] ?? 0
    if (byte === 0 || byte === SPACE) break
    if (byte < 0x30 || byte > 0x37) throw tarError(tarOffset, 'header holds a malformed number')
    value = value * 8 + (byte - 0x30)
  }
  return value
}

/** Two's complement, big endian; the top bit of the first byte only marks the encoding. */
function parseBase256(block: Buffer, start: number, end: number, tarOffset: number): number {
  const first = block[start] ?? 0
  let value = BigInt((first & 0x40) === 0 ? first & 0x3f : (first & 0x7f) - 0x80)
  for (let i = start + 1; i < end; i++) value = value * 256n + BigInt(block[i] ?? 0)
  if (value > BigInt(Number.MAX_SAFE_INTEGER) || value < BigInt(Number.MIN_SAFE_INTEGER)) {
    throw tarError(tarOffset, 'header holds a number beyond 2^53')
  }
  return Number(value)
}
