// The torrent file: which files, cut into which pieces, with which hashes, announced where. Reading
// trusts nothing: sizes are bounded and agree with each other, paths stay below their folder.
// Spec: BEP 3 (format), 12 (tiers of trackers), 19 (web seeds), 27 (private), 47 (pad files).
import { createHash } from 'node:crypto'
import { isSiError, SiError } from '../core/core.ts'
import {
  bencodedValueOf,
  decodeBencode,
  encodeBencode,
  type Bencodable,
  type BencodeValue,
} from './bencode.ts'
import { parseInfoHash, type InfoHash } from './info-hash.ts'

export interface TorrentFile {
  /** Below the torrent's folder: components that are plain names. */
  readonly path: readonly string[]
  readonly lengthBytes: number
  /** Of the file's first byte within the torrent. */
  readonly offsetBytes: number
  /** Zeros that only align the next file; never on a disk (BEP 47). */
  readonly isPad: boolean
}

export interface Metainfo {
  readonly infoHash: InfoHash
  /** The info dictionary exactly as it was in the file. */
  readonly infoBytes: Buffer
  readonly name: string
  readonly pieceLengthBytes: number
  readonly pieceCount: number
  readonly lengthBytes: number
  /** SHA-1 of each piece: 20 x pieceCount. */
  readonly pieceHashes: Uint8Array
  /** A single-file torrent has one file, whose path is its name. */
  readonly files: readonly TorrentFile[]
  /** Its one file stands for itself, not in a folder of the torrent's name. */
  readonly isSingleFile: boolean
  readonly isPrivate: boolean
  /** Tiers of announce URLs; empty when the torrent names none. */
  readonly trackers: readonly (readonly string[])[]
  /** http and https URLs of web servers that have the files, for fileUrl(); others are left out. */
  readonly webSeeds: readonly string[]
}

const SHA1_BYTES = 20

/** A piece is held in memory whole; a larger one than this comes from no honest tool. */
const MAX_PIECE_LENGTH_BYTES = 256 * 2 ** 20

const MAX_NAME_BYTES = 255

const MAX_TRACKERS = 100
const MAX_WEB_SEEDS = 100

/**
 * Bytes of a torrent file → Metainfo. Buffers in the result share the memory of `bytes`. Throws
 * ERR_SI_TORRENT_FORMAT when it is no torrent, truncated, contradicts itself, is version 2 only, or
 * has a path that leaves its folder.
 */
export function parseMetainfo(bytes: Uint8Array): Metainfo {
  try {
    const root = dictionary(decodeBencode(bytes, { allowUnsortedKeys: true }), 'The file')
    const infoBytes = bencodedValueOf(bytes, 'info', { allowUnsortedKeys: true })
    if (infoBytes === undefined) throw fault('it has no info dictionary')
    return {
      ...parseInfo(infoBytes),
      ...{ trackers: parseTrackers(root), webSeeds: parseWebSeeds(root) },
    }
  } catch (error) {
    if (!isSiError(error, 'ERR_SI_BENCODE')) throw error
    throw new SiError('ERR_SI_TORRENT_FORMAT', `Not a torrent, or damaged: ${error.message}`, {
      hint: 'Fetch the torrent file again',
      cause: error,
    })
  }
}

function parseInfo(infoBytes: Buffer): Omit<Metainfo, 'trackers' | 'webSeeds'> {
  const info = dictionary(decodeBencode(infoBytes, { allowUnsortedKeys: true }), 'info')
  const pieceLengthBytes = integer(info.get('piece length'), 'piece length')
  if (pieceLengthBytes < 1 || pieceLengthBytes > MAX_PIECE_LENGTH_BYTES) {
    throw fault(`piece length ${pieceLengthBytes} is not within 1..${MAX_PIECE_LENGTH_BYTES}`)
  }
  const pieceHashes = info.get('pieces')
  if (!Buffer.isBuffer(pieceHashes)) throw fault('it has no piece hashes of version 1')
  const name = pathComponent(info.get('name'))
  const isSingleFile = !info.has('files')
  const files = isSingleFile ? [parseSingleFile(info, name)] : parseFiles(info.get('files'))
  const last = files.at(-1)
  const lengthBytes = last === undefined ? 0 : last.offsetBytes + last.lengthBytes
  const pieceCount = pieceHashes.length / SHA1_BYTES
  if (lengthBytes === 0) throw fault('it holds no bytes')
  if (pieceCount !== Math.ceil(lengthBytes / pieceLengthBytes)) {
    throw fault(`${pieceHashes.length} bytes of hashes do not fit its length of ${lengthBytes}`)
  }
  const infoHash = parseInfoHash(createHash('sha1').update(infoBytes).digest('hex'))
  const isPrivate = info.get('private') === 1
  return {
    ...{ infoHash, infoBytes, name, isPrivate, isSingleFile, files, pieceHashes },
    ...{ pieceLengthBytes, pieceCount, lengthBytes },
  }
}

function parseSingleFile(info: ReadonlyMap<string, BencodeValue>, name: string): TorrentFile {
  const lengthBytes = fileLength(info.get('length'), 0)
  return { path: [name], lengthBytes, offsetBytes: 0, isPad: false }
}

function parseFiles(value: BencodeValue | undefined): TorrentFile[] {
  if (!Array.isArray(value)) throw fault('its list of files is no list')
  let offsetBytes = 0
  const seen = new Set<string>()
  return (value as readonly BencodeValue[]).map((item) => {
    const entry = dictionary(item, 'An entry of files')
    const lengthBytes = fileLength(entry.get('length'), offsetBytes)
    const parts = entry.get('path')
    if (!Array.isArray(parts) || parts.length === 0) throw fault('a file has no path')
    const path = (parts as readonly BencodeValue[]).map(pathComponent)
    const attributes = entry.get('attr')
    const isPad = Buffer.isBuffer(attributes) && attributes.includes('p')
    const joined = path.join('/')
    if (!isPad && seen.has(joined)) throw fault(`the path "${joined}" occurs twice`)
    seen.add(joined)
    const file = { path, lengthBytes, offsetBytes, isPad }
    offsetBytes += lengthBytes
    return file
  })
}

function fileLength(value: BencodeValue | undefined, offsetBytes: number): number {
  const lengthBytes = integer(value, 'length of a file')
  if (lengthBytes < 0 || !Number.isSafeInteger(offsetBytes + lengthBytes)) {
    throw fault(`a file has the impossible length ${lengthBytes}`)
  }
  return lengthBytes
}

/** A name that cannot lead out of its folder. */
function pathComponent(value: BencodeValue | undefined): string {
  if (!Buffer.isBuffer(value)) throw fault('a name is missing')
  const text = utf8(value, 'a name')
  if (text === '' || text === '.' || text === '..' || /[/\0]/.test(text)) {
    throw fault(`${JSON.stringify(text)} is not allowed as a name`)
  }
  if (value.length > MAX_NAME_BYTES) throw fault(`a name is longer than ${MAX_NAME_BYTES} bytes`)
  return text
}

function parseTrackers(root: ReadonlyMap<string, BencodeValue>): string[][] {
  const list = root.get('announce-list')
  const single = root.get('announce')
  const tiers = Array.isArray(list) ? (list as readonly BencodeValue[]) : []
  const urls = tiers.map((tier) =>
    (Array.isArray(tier) ? (tier as readonly BencodeValue[]) : [])
      .filter((url) => Buffer.isBuffer(url))
      .map((url) => utf8(url, 'an announce URL')),
  )
  const used = urls.filter((tier) => tier.length > 0)
  if (used.flat().length > MAX_TRACKERS) throw fault(`it names more than ${MAX_TRACKERS} trackers`)
  if (used.length > 0) return used
  return Buffer.isBuffer(single) && single.length > 0 ? [[utf8(single, 'announce')]] : []
}

/** One URL, or a list of them (BEP 19). What is no http URL is for other clients. */
function parseWebSeeds(root: ReadonlyMap<string, BencodeValue>): string[] {
  const value = root.get('url-list')
  const list = Array.isArray(value) ? (value as readonly BencodeValue[]) : [value]
  const urls = list
    .filter((url) => Buffer.isBuffer(url))
    .map((url) => utf8(url, 'the URL of a web seed'))
    .filter((url) => /^https?:$/.test(URL.parse(url)?.protocol ?? ''))
  if (urls.length > MAX_WEB_SEEDS) throw fault(`it names more than ${MAX_WEB_SEEDS} web seeds`)
  return [...new Set(urls)]
}

function dictionary(
  value: BencodeValue | undefined,
  what: string,
): ReadonlyMap<string, BencodeValue> {
  if (value instanceof Map) return value as ReadonlyMap<string, BencodeValue>
  throw fault(`${what} is no dictionary`)
}

function integer(value: BencodeValue | undefined, what: string): number {
  if (typeof value !== 'number') throw fault(`its ${what} is missing or no number`)
  return value
}

function utf8(bytes: Buffer, what: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch (error) {
    if (error instanceof TypeError) throw fault(`${what} is not UTF-8`)
    throw error
  }
}

function fault(what: string): SiError {
  return new SiError('ERR_SI_TORRENT_FORMAT', `Cannot use torrent: ${what}`)
}

export interface InfoOptions {
  /** Name of the folder that other clients make for the files. */
  readonly name: string
  readonly pieceLengthBytes: number
  /** In torrent order; pads are entries of their own with any path, ['.pad', '123'] by custom. */
  readonly files: readonly {
    readonly path: readonly string[]
    readonly lengthBytes: number
    readonly isPad?: boolean
  }[]
  /** SHA-1 of each piece, concatenated. */
  readonly pieceHashes: Uint8Array
  readonly isPrivate?: boolean
}

/** The info dictionary of a multi-file torrent; its SHA-1 is the info hash. */
export function encodeInfo(info: InfoOptions): Buffer {
  const files = info.files.map(({ path, lengthBytes, isPad }) => ({
    ...(isPad ? { attr: 'p' } : {}),
    length: lengthBytes,
    path,
  }))
  return encodeBencode({
    files,
    name: info.name,
    'piece length': info.pieceLengthBytes,
    pieces: info.pieceHashes,
    ...(info.isPrivate ? { private: 1 } : {}),
  })
}

export interface MetainfoOptions {
  /** As from encodeInfo or Metainfo.infoBytes; goes into the file untouched. */
  readonly infoBytes: Uint8Array
  readonly trackers?: readonly (readonly string[])[]
  readonly webSeeds?: readonly string[]
  readonly comment?: string
  readonly createdBy?: string
}

/** A torrent file around an info dictionary, so that a changed tracker keeps the info hash. */
export function encodeMetainfo(options: MetainfoOptions): Buffer {
  const trackers = options.trackers ?? []
  const first = trackers[0]?.[0]
  const before: Record<string, Bencodable> = {
    ...(first === undefined ? {} : { announce: first }),
    ...(trackers.flat().length > 1 ? { 'announce-list': trackers } : {}),
    ...(options.comment === undefined ? {} : { comment: options.comment }),
    ...(options.createdBy === undefined ? {} : { 'created by': options.createdBy }),
  }
  const webSeeds = options.webSeeds ?? []
  const after = webSeeds.length > 0 ? { 'url-list': webSeeds } : {}
  // `info` sorts between the two, so its bytes can be put in as they are.
  const head = encodeBencode(before).subarray(0, -1)
  const tail = encodeBencode(after).subarray(1)
  return Buffer.concat([head, Buffer.from('4:info'), options.infoBytes, tail])
}
