// Reads and checks a manifest in one pass. Invariant: whoever gets the result may write it to a disk
// without looking at it again; whatever breaks a rule of FORMAT.md §5 is refused here. Memory depends
// on the number of chunks, pieces and directories, not on the number of files.
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createZstdDecompress } from 'node:zlib'
import { errnoOf, isSiError, messageOf } from '../core/core.ts'
import { ChunkTableBuilder, HashColumn, type ChunkTable } from './chunk-table.ts'
import { EntryTree } from './entry-tree.ts'
import type { ManifestEntry } from './manifest-entry.ts'
import { parseManifestHeader, type ManifestHeader } from './manifest-header.ts'
import {
  isEntryType,
  manifestError,
  parseChunk,
  parseEntry,
  parsePiece,
} from './manifest-record.ts'

export interface Manifest {
  readonly header: ManifestHeader
  readonly chunks: ChunkTable
  /** SHA-256 of the packed bytes of each piece, 32 × pieceCount, over a SharedArrayBuffer. */
  readonly pieceSha256: Uint8Array
}

/** One line: a header with its fstab, or an entry with its extended attributes or sparse map. */
export const LINE_MAX_BYTES = 16 * 1024 * 1024

const NEWLINE = 0x0a
const DECOMPRESSED_CHUNK_BYTES = 256 * 1024

/** What the torrent says of the pack; a manifest that says otherwise belongs to another one. */
export interface TorrentFacts {
  readonly pieceLengthBytes: number
  readonly packBytes: number
}

/**
 * Reads the compressed bytes of a manifest. `onEntry` is called in order, parents before children;
 * entries are not kept. With null entries are passed over unchecked, which is many times faster. `torrent` is compared as soon as the header is read. Throws ERR_SI_MANIFEST_FORMAT, ERR_SI_UNSAFE_PATH, and what `source` throws.
 */
export async function readManifest(
  source: AsyncIterable<Uint8Array>,
  onEntry: ((entry: ManifestEntry) => void) | null,
  torrent?: TorrentFacts,
): Promise<Manifest> {
  const parser = new ManifestParser(onEntry, torrent)
  const unzip = createZstdDecompress({ chunkSize: DECOMPRESSED_CHUNK_BYTES })
  try {
    await pipeline(Readable.from(source), unzip, async (plain: AsyncIterable<Buffer>) => {
      for await (const bytes of plain) parser.push(bytes)
    })
  } catch (error) {
    const isZstd = errnoOf(error)?.startsWith('ZSTD_') || errnoOf(error)?.startsWith('Z_')
    if (isSiError(error) || isZstd !== true) throw error
    throw manifestError(`it is damaged: ${messageOf(error)}`)
  }
  return parser.finish()
}

interface Head {
  readonly header: ManifestHeader
  readonly chunks: ChunkTableBuilder
  readonly pieces: HashColumn
}

/** The header says how long the tables are; memory is touched only for the records that come. */
function reserveTables({ pieceLengthBytes, chunkCount, pieceCount }: ManifestHeader) {
  try {
    return {
      chunks: new ChunkTableBuilder(pieceLengthBytes, chunkCount),
      pieces: new HashColumn(pieceCount),
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    throw manifestError(`no memory could hold its ${chunkCount} chunks`)
  }
}

class ManifestParser {
  readonly #onEntry: ((entry: ManifestEntry) => void) | null
  readonly #torrent: TorrentFacts | undefined
  readonly #tree = new EntryTree()
  #head: Head | undefined
  #entryCount = 0
  #contentBytes = 0
  #partial: Buffer[] = []
  #partialBytes = 0

  constructor(onEntry: ((entry: ManifestEntry) => void) | null, torrent: TorrentFacts | undefined) {
    this.#onEntry = onEntry
    this.#torrent = torrent
  }

  push(bytes: Buffer): void {
    let start = 0
    for (;;) {
      const newline = bytes.indexOf(NEWLINE, start)
      if (newline === -1) break
      let line = bytes.subarray(start, newline)
      if (this.#partialBytes > 0) {
        line = Buffer.concat([...this.#partial, line])
        this.#partial = []
        this.#partialBytes = 0
      }
      this.#onLine(line)
      start = newline + 1
    }
    this.#partialBytes += bytes.length - start
    if (start < bytes.length) this.#partial.push(bytes.subarray(start))
    if (this.#partialBytes > LINE_MAX_BYTES) throw manifestError('a line is too long')
  }

  finish(): Manifest {
    if (this.#head === undefined) throw manifestError('it is empty')
    const { header, chunks, pieces } = this.#head
    const fault =
      this.#partialBytes > 0 || this.#entryCount !== header.entryCount
        ? `it ends after ${this.#entryCount} of ${header.entryCount} entries`
        : chunks.count !== header.chunkCount || chunks.pieceCount !== header.pieceCount
          ? `it has ${chunks.count} of ${header.chunkCount} chunks`
          : pieces.count !== header.pieceCount
            ? `it has ${pieces.count} of ${header.pieceCount} pieces`
            : chunks.tarEnd !== header.tarBytes || chunks.packEnd !== header.packBytes
              ? 'its chunks do not cover the whole image'
              : this.#onEntry !== null && this.#contentBytes !== header.contentBytes
                ? 'its files do not add up to contentBytes'
                : undefined
    if (fault !== undefined) throw manifestError(fault)
    return { header, chunks: chunks.finish(), pieceSha256: pieces.finish() }
  }

  #onLine(line: Buffer): void {
    if (this.#onEntry === null && this.#head !== undefined && !isTableLine(line)) {
      this.#entryCount++
      return
    }
    const record = parseJson(line)
    if (this.#head === undefined) {
      const header = parseManifestHeader(record)
      this.#compare(header)
      this.#head = { header, ...reserveTables(header) }
      return
    }
    const { header, chunks, pieces } = this.#head
    const type = record['type']
    if (isEntryType(type)) {
      if (chunks.count > 0) throw manifestError('an entry stands behind the chunks')
      this.#onEntryRecord(record, header)
    } else if (type === 'chunk') {
      if (pieces.count > 0) throw manifestError('a chunk stands behind the pieces')
      if (chunks.count === header.chunkCount) throw manifestError('it has too many chunks')
      const fault = chunks.add(parseChunk(record, header.chunking.maximumBytes))
      if (fault !== undefined) throw manifestError(`chunk ${chunks.count}: ${fault}`)
    } else if (type === 'piece') {
      if (pieces.count === header.pieceCount) throw manifestError('it has too many pieces')
      pieces.add(parsePiece(record))
    } else {
      throw manifestError('a record has no known type')
    }
  }

  #compare(header: ManifestHeader): void {
    for (const key of ['pieceLengthBytes', 'packBytes'] as const) {
      const expected = this.#torrent?.[key]
      if (expected === undefined || header[key] === expected) continue
      throw manifestError(`its ${key} is ${header[key]}, the torrent's ${expected}`)
    }
  }

  #onEntryRecord(record: Readonly<Record<string, unknown>>, header: ManifestHeader): void {
    const entry = parseEntry(record, header.tarBytes)
    if (++this.#entryCount > header.entryCount) throw manifestError('it has too many entries')
    if (this.#tree.add(entry).isRepeated) throw manifestError('a directory occurs twice')
    this.#contentBytes += entry.dataBytes
    this.#onEntry?.(entry)
  }
}

/** False for lines that are surely no chunk and no piece: those have no path. */
function isTableLine(line: Buffer): boolean {
  return !line.includes('"path')
}

function parseJson(line: Buffer): Readonly<Record<string, unknown>> {
  let value: unknown
  try {
    value = JSON.parse(line.toString('utf8'))
  } catch (error) {
    throw manifestError(`a line is no JSON: ${messageOf(error)}`)
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw manifestError('a line is no JSON object')
  }
  return value as Readonly<Record<string, unknown>>
}
