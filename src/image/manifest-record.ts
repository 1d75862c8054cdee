// Records of the manifest that come in great numbers: entries, chunks, pieces, one JSON object a line.
// Invariant: encode then parse gives the same value, for any bytes in paths. Spec: FORMAT.md §4.
import { isUtf8 } from 'node:buffer'
import { SiError } from '../core/core.ts'
import type { ChunkRecord } from './chunk-table.ts'
import { ENTRY_TYPES, type EntryType, type ManifestEntry, type Xattr } from './manifest-entry.ts'
import { sparseFault, type SparseExtent } from './sparse-map.ts'

type JsonRecord = Readonly<Record<string, unknown>>

const KNOWN_TYPES: ReadonlySet<string> = new Set(ENTRY_TYPES)

const ID_MAX = 0xffff_fffe
const DEVICE_MAJOR_MAX = 0xfff
const DEVICE_MINOR_MAX = 0xf_ffff
const XATTR_NAME_MAX_BYTES = 255
const XATTR_VALUE_MAX_BYTES = 64 * 1024

export function isEntryType(type: unknown): type is EntryType {
  return typeof type === 'string' && KNOWN_TYPES.has(type)
}

export function manifestError(reason: string): SiError {
  return new SiError('ERR_SI_MANIFEST_FORMAT', `Cannot read manifest: ${reason}`)
}

/** One line without its newline. */
export function encodeEntry(entry: ManifestEntry): string {
  const record: Record<string, unknown> = { type: entry.type }
  putBytes(record, 'path', entry.path)
  record['mode'] = entry.mode
  record['uid'] = entry.uid
  record['gid'] = entry.gid
  record['mtimeNs'] = entry.mtimeNs.toString()
  if (entry.type === 'file') {
    record['sizeBytes'] = entry.sizeBytes
    record['dataOffset'] = entry.dataOffset
    if (entry.sparse !== null) {
      record['dataBytes'] = entry.dataBytes
      record['sparse'] = entry.sparse.map(({ offset, length }) => [offset, length])
    }
  }
  if (entry.linkTarget !== null) putBytes(record, 'linkTarget', entry.linkTarget)
  if (entry.type === 'character' || entry.type === 'block') {
    record['deviceMajor'] = entry.deviceMajor
    record['deviceMinor'] = entry.deviceMinor
  }
  if (entry.xattrs.length > 0) {
    record['xattrs'] = entry.xattrs.map(encodeXattr)
  }
  return JSON.stringify(record)
}

/** Name and value; a name that is not UTF-8 in base64, which a third member says. */
function encodeXattr({ name, value }: Xattr): string[] {
  const bytes = Buffer.from(name, 'latin1')
  const text = value.toString('base64')
  return isUtf8(bytes) ? [bytes.toString(), text] : [bytes.toString('base64'), text, 'base64']
}

function putBytes(record: Record<string, unknown>, key: string, bytes: Buffer): void {
  if (isUtf8(bytes)) record[key] = bytes.toString('utf8')
  else record[`${key}Base64`] = bytes.toString('base64')
}

/** Throws ERR_SI_MANIFEST_FORMAT. Whether the path is safe is for the entry tree to say. */
export function parseEntry(record: JsonRecord, tarBytes: number): ManifestEntry {
  const type = record['type']
  if (!isEntryType(type)) throw manifestError('an entry has no known type')
  const isLink = type === 'symlink' || type === 'hardlink'
  const isDevice = type === 'character' || type === 'block'
  return {
    type,
    path: bytesOf(record, 'path'),
    mode: whole(record, 'mode', 0o7777),
    uid: whole(record, 'uid', ID_MAX),
    gid: whole(record, 'gid', ID_MAX),
    mtimeNs: timeOf(record),
    ...(type === 'file' ? parseFileData(record, tarBytes) : NO_DATA),
    linkTarget: isLink ? linkTargetOf(record) : null,
    deviceMajor: isDevice ? whole(record, 'deviceMajor', DEVICE_MAJOR_MAX) : 0,
    deviceMinor: isDevice ? whole(record, 'deviceMinor', DEVICE_MINOR_MAX) : 0,
    xattrs: parseXattrs(record['xattrs']),
  }
}

const NO_DATA = { sizeBytes: 0, dataOffset: 0, dataBytes: 0, sparse: null } as const

function parseFileData(record: JsonRecord, tarBytes: number) {
  const sizeBytes = whole(record, 'sizeBytes', Number.MAX_SAFE_INTEGER)
  const dataOffset = whole(record, 'dataOffset', tarBytes)
  const sparse = record['sparse'] === undefined ? null : parseSparse(record['sparse'])
  const dataBytes =
    sparse === null ? sizeBytes : whole(record, 'dataBytes', Number.MAX_SAFE_INTEGER)
  if (dataOffset + dataBytes > tarBytes) throw manifestError('file data lies outside of the tar')
  const fault = sparse === null ? undefined : sparseFault(sparse, sizeBytes, dataBytes)
  if (fault !== undefined) throw manifestError(fault)
  return { sizeBytes, dataOffset, dataBytes, sparse }
}

function parseSparse(value: unknown): SparseExtent[] {
  if (!Array.isArray(value)) throw manifestError('a sparse map is no list')
  return (value as unknown[]).map((pair) => {
    if (!Array.isArray(pair) || pair.length !== 2 || !isWhole(pair[0]) || !isWhole(pair[1])) {
      throw manifestError('a sparse extent is no pair of numbers')
    }
    return { offset: pair[0], length: pair[1] }
  })
}

function parseXattrs(value: unknown): readonly Xattr[] {
  if (value === undefined) return []
  if (!Array.isArray(value)) throw manifestError('extended attributes are no list')
  return (value as unknown[]).map((pair) => {
    const [text, data, encoding] = Array.isArray(pair) ? (pair as unknown[]) : []
    const isKnown = encoding === undefined || encoding === 'base64'
    if (typeof text !== 'string' || typeof data !== 'string' || !isKnown) {
      throw manifestError('an extended attribute is no pair of name and value')
    }
    const name = Buffer.from(text, encoding ?? 'utf8')
    if (name.length === 0 || name.length > XATTR_NAME_MAX_BYTES || name.includes(0)) {
      throw manifestError('an extended attribute has an impossible name')
    }
    const bytes = Buffer.from(data, 'base64')
    if (bytes.length > XATTR_VALUE_MAX_BYTES)
      throw manifestError('an extended attribute is too long')
    return { name: name.toString('latin1'), value: bytes }
  })
}

function linkTargetOf(record: JsonRecord): Buffer {
  const target = bytesOf(record, 'linkTarget')
  // A symlink's text must fit PATH_MAX; a hard link's target is a path, which the entry tree checks.
  const isTooLong = record['type'] === 'symlink' && target.length > 4095
  if (target.length === 0 || isTooLong || target.includes(0)) {
    throw manifestError('a link target is empty, too long or contains a NUL byte')
  }
  return target
}

function bytesOf(record: JsonRecord, key: string): Buffer {
  const text = record[key]
  if (typeof text === 'string') return Buffer.from(text, 'utf8')
  const base64 = record[`${key}Base64`]
  if (typeof base64 === 'string') return Buffer.from(base64, 'base64')
  throw manifestError(`an entry has no ${key}`)
}

function timeOf(record: JsonRecord): bigint {
  const text = record['mtimeNs']
  if (typeof text !== 'string' || !/^-?\d{1,20}$/.test(text)) {
    throw manifestError('an entry has no time of modification')
  }
  return BigInt(text)
}

function isWhole(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

function whole(record: JsonRecord, key: string, maximum: number): number {
  const value = record[key]
  if (!isWhole(value) || value > maximum) {
    throw manifestError(`${key} is not a number from 0 to ${maximum}`)
  }
  return value
}

export function encodeChunk(chunk: ChunkRecord): string {
  const { tarOffset, lengthBytes, packOffset, packedBytes } = chunk
  const sha256 = Buffer.from(chunk.sha256).toString('hex')
  return JSON.stringify({ type: 'chunk', tarOffset, lengthBytes, packOffset, packedBytes, sha256 })
}

/** Throws ERR_SI_MANIFEST_FORMAT. `maximumBytes` bounds the plain length of a chunk. */
export function parseChunk(record: JsonRecord, maximumBytes: number): ChunkRecord {
  const lengthBytes = whole(record, 'lengthBytes', maximumBytes)
  if (lengthBytes % 512 !== 0) throw manifestError('a chunk is not made of whole tar blocks')
  return {
    lengthBytes,
    tarOffset: whole(record, 'tarOffset', Number.MAX_SAFE_INTEGER),
    packOffset: whole(record, 'packOffset', Number.MAX_SAFE_INTEGER),
    packedBytes: whole(record, 'packedBytes', 0xffff_ffff),
    sha256: hashOf(record),
  }
}

export function encodePiece(sha256: Uint8Array): string {
  return JSON.stringify({ type: 'piece', sha256: Buffer.from(sha256).toString('hex') })
}

export function parsePiece(record: JsonRecord): Uint8Array {
  return hashOf(record)
}

function hashOf(record: JsonRecord): Uint8Array {
  const text = record['sha256']
  if (typeof text !== 'string' || !/^[0-9a-f]{64}$/.test(text)) {
    throw manifestError(`a ${String(record['type'])} has no SHA-256`)
  }
  return Buffer.from(text, 'hex')
}
