// The image's entries and where their bytes lie in the tar, as columns of numbers over shared memory: all
// worker threads read the same copy, and half a million files stay below a hundred megabytes.
// Invariant: segments are sorted by tar offset and do not overlap.
import { ENTRY_TYPES, type EntryType } from '../image/image.ts'

export interface EntryTable {
  readonly count: number
  readonly paths: Uint8Array
  /** count + 1 positions in `paths`. */
  readonly pathStart: Uint32Array
  /** Indexes into ENTRY_TYPES. */
  readonly kinds: Uint8Array
  readonly modes: Uint16Array
  readonly uids: Uint32Array
  readonly gids: Uint32Array
  /** Whole seconds since 1970, rounded down, and the nanoseconds above them. */
  readonly mtimeSeconds: Float64Array
  readonly mtimeNanoseconds: Uint32Array
  /** Logical size of files. */
  readonly sizes: Float64Array
  /** 1 for files with holes. */
  readonly isSparse: Uint8Array
  /** Link target, device numbers and extended attributes of those entries that have any. */
  readonly details: Uint8Array
  /** count + 1 positions in `details`. */
  readonly detailStart: Uint32Array
  readonly segmentCount: number
  /** Where a run of file data begins in the tar. */
  readonly segmentTarOffset: Float64Array
  readonly segmentBytes: Float64Array
  readonly segmentEntry: Uint32Array
  /** Where the run belongs in its file. */
  readonly segmentFileOffset: Float64Array
}

export interface EntryDetails {
  readonly linkTarget: Buffer
  readonly deviceMajor: number
  readonly deviceMinor: number
  readonly xattrs: readonly { readonly name: string; readonly value: Buffer }[]
}

/** Path of an entry below the root, without a leading slash; a copy. */
export function entryPath(table: EntryTable, entry: number): Buffer {
  return Buffer.from(table.paths.subarray(table.pathStart[entry], table.pathStart[entry + 1]))
}

export function entryKind(table: EntryTable, entry: number): EntryType {
  return ENTRY_TYPES[table.kinds[entry] ?? 0] ?? 'file'
}

export function entryMtimeNs(table: EntryTable, entry: number): bigint {
  const seconds = BigInt(table.mtimeSeconds[entry] ?? 0)
  return seconds * 1_000_000_000n + BigInt(table.mtimeNanoseconds[entry] ?? 0)
}

const NO_DETAILS: EntryDetails = {
  linkTarget: Buffer.alloc(0),
  deviceMajor: 0,
  deviceMinor: 0,
  xattrs: [],
}

export function entryDetails(table: EntryTable, entry: number): EntryDetails {
  const [start = 0, end = 0] = table.detailStart.subarray(entry, entry + 2)
  return start === end ? NO_DETAILS : decodeDetails(Buffer.from(table.details.subarray(start, end)))
}

/** Whether the entry's data is one run in the tar; false for files without data. */
export function isOneSegment(table: EntryTable, segment: number): boolean {
  const { segmentEntry } = table
  const entry = segmentEntry[segment]
  const isSame = (other: number) =>
    other >= 0 && other < table.segmentCount && segmentEntry[other] === entry
  return !isSame(segment - 1) && !isSame(segment + 1)
}

/** Index of the first segment that ends behind `tarOffset`; segmentCount when there is none. */
export function findSegment(table: EntryTable, tarOffset: number): number {
  const { segmentTarOffset, segmentBytes } = table
  let low = 0
  let high = table.segmentCount
  while (low < high) {
    const middle = (low + high) >>> 1
    const end = (segmentTarOffset[middle] ?? 0) + (segmentBytes[middle] ?? 0)
    if (end > tarOffset) high = middle
    else low = middle + 1
  }
  return low
}

/** Bytes of the tar that are bytes of a file. */
export interface Extent {
  readonly segment: number
  readonly tarOffset: number
  readonly fileOffset: number
  readonly lengthBytes: number
}

/**
 * Calls `visit` for all file data between two positions of the tar, in their order, beginning the search at
 * `segment`, which must not lie behind the first. Returns the segment to go on with after `tarEnd`.
 */
export function visitExtents(
  table: EntryTable,
  range: { readonly segment: number; readonly tarStart: number; readonly tarEnd: number },
  visit: (extent: Extent) => void,
): number {
  const { segmentTarOffset, segmentBytes, segmentFileOffset, segmentCount } = table
  const { tarStart, tarEnd } = range
  for (let { segment } = range; segment < segmentCount; segment++) {
    const start = segmentTarOffset[segment] ?? 0
    if (start >= tarEnd) return segment
    const end = start + (segmentBytes[segment] ?? 0)
    const tarOffset = Math.max(start, tarStart)
    const lengthBytes = Math.min(end, tarEnd) - tarOffset
    const fileOffset = (segmentFileOffset[segment] ?? 0) + tarOffset - start
    visit({ segment, tarOffset, fileOffset, lengthBytes })
    if (end > tarEnd) return segment
  }
  return segmentCount
}

/** The details as bytes: u32 lengths before the link target and before each name and value. */
export function encodeDetails(details: EntryDetails): Buffer {
  const fields = [details.linkTarget, ...details.xattrs.flatMap(({ name, value }) => [name, value])]
  const numbers = Buffer.alloc(8)
  numbers.writeUInt32LE(details.deviceMajor, 0)
  numbers.writeUInt32LE(details.deviceMinor, 4)
  const parts: Buffer[] = [numbers]
  for (const field of fields) {
    const bytes = typeof field === 'string' ? Buffer.from(field, 'latin1') : field
    const length = Buffer.alloc(4)
    length.writeUInt32LE(bytes.length)
    parts.push(length, bytes)
  }
  return Buffer.concat(parts)
}

function decodeDetails(bytes: Buffer): EntryDetails {
  let at = 8
  const next = () => {
    const length = bytes.readUInt32LE(at)
    at += 4 + length
    return bytes.subarray(at - length, at)
  }
  const linkTarget = next()
  const xattrs: { name: string; value: Buffer }[] = []
  while (at < bytes.length) xattrs.push({ name: next().toString('latin1'), value: next() })
  return {
    linkTarget,
    deviceMajor: bytes.readUInt32LE(0),
    deviceMinor: bytes.readUInt32LE(4),
    xattrs,
  }
}
