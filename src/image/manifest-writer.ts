// Writes a manifest whose header is known last: entries wait as text in a spool file while the tar
// streams by, and follow the header at the end. Invariant: the result is one zstd frame, because a
// stream reader may stop at the end of the first. Spec: FORMAT.md §4.
import { open, rm, type FileHandle } from 'node:fs/promises'
import { pipeline } from 'node:stream/promises'
import { createZstdCompress } from 'node:zlib'
import { SiError } from '../core/core.ts'
import type { ChunkTable } from './chunk-table.ts'
import { readFully, writeFully } from './file-io.ts'
import type { ManifestHeader } from './manifest-header.ts'
import { LINE_MAX_BYTES } from './manifest-reader.ts'
import { encodeChunk, encodePiece } from './manifest-record.ts'

/** Lines are gathered to about this many characters before they are written or compressed. */
const BATCH_CHARACTERS = 1024 * 1024

interface SpooledBatch {
  readonly firstLine: number
  readonly offset: number
  readonly lengthBytes: number
}

/** Lines in a temporary file, of which single ones can still be replaced. */
export class EntrySpool {
  readonly #path: string
  readonly #handle: FileHandle
  readonly #batches: SpooledBatch[] = []
  readonly #replacements = new Map<number, string>()
  #lines: string[] = []
  #characters = 0
  #lineCount = 0
  #writtenBytes = 0
  #tail: Promise<void> = Promise.resolve()

  private constructor(path: string, handle: FileHandle) {
    this.#path = path
    this.#handle = handle
  }

  static async open(path: string): Promise<EntrySpool> {
    return new EntrySpool(path, await open(path, 'wx+', 0o600))
  }

  get lineCount(): number {
    return this.#lineCount
  }

  /** Adds one line. Throws ERR_SI_TAR_FORMAT when no reader would accept its length. */
  add(line: string): void {
    if (line.length * 3 > LINE_MAX_BYTES && Buffer.byteLength(line) > LINE_MAX_BYTES) {
      throw new SiError('ERR_SI_TAR_FORMAT', 'A file has too many extents or extended attributes')
    }
    this.#lines.push(line)
    this.#lineCount++
    this.#characters += line.length
    if (this.#characters >= BATCH_CHARACTERS) this.#flush()
  }

  replace(index: number, line: string): void {
    this.#replacements.set(index, line)
  }

  /** Resolves when everything flushed so far is in the file; rejects when writing failed. */
  async drain(): Promise<void> {
    await this.#tail
  }

  /** Yields the text of all lines, in order, replaced where that was asked for. */
  async *text(): AsyncGenerator<Uint8Array> {
    this.#flush()
    await this.#tail
    const replaced = [...this.#replacements].toSorted(([a], [b]) => a - b)
    for (const [number, batch] of this.#batches.entries()) {
      const endLine = this.#batches[number + 1]?.firstLine ?? this.#lineCount
      const bytes = Buffer.allocUnsafe(batch.lengthBytes)
      await readFully(this.#handle, bytes, batch.offset)
      const here = replaced.filter(([line]) => line >= batch.firstLine && line < endLine)
      yield here.length === 0 ? bytes : patch(bytes, batch.firstLine, here)
    }
  }

  /** Closes and removes the file; may be called more than once. */
  async close(): Promise<void> {
    await this.#tail.catch(() => {})
    await this.#handle.close()
    await rm(this.#path, { force: true })
  }

  #flush(): void {
    if (this.#lines.length === 0) return
    const text = this.#lines.join('\n') + '\n'
    const firstLine = this.#lineCount - this.#lines.length
    this.#lines = []
    this.#characters = 0
    this.#tail = this.#tail.then(() => this.#append(text, firstLine))
    this.#tail.catch(() => {}) // seen by drain() and text()
  }

  async #append(text: string, firstLine: number): Promise<void> {
    const bytes = Buffer.from(text)
    const offset = this.#writtenBytes
    this.#writtenBytes += bytes.length
    this.#batches.push({ firstLine, offset, lengthBytes: bytes.length })
    await writeFully(this.#handle, bytes, offset)
  }
}

function patch(
  bytes: Buffer,
  firstLine: number,
  replacements: readonly (readonly [index: number, line: string])[],
): Buffer {
  const lines = bytes.toString('utf8').split('\n')
  for (const [index, line] of replacements) lines[index - firstLine] = line
  return Buffer.from(lines.join('\n'))
}

export interface ManifestContent {
  readonly header: ManifestHeader
  readonly entries: EntrySpool
  readonly chunks: ChunkTable
  readonly pieceSha256: Uint8Array
}

/** Writes and flushes the manifest to `path`, which must not exist; returns its length in bytes. */
export async function writeManifest(path: string, content: ManifestContent): Promise<number> {
  await using handle = await open(path, 'wx')
  let position = 0
  await pipeline(manifestText(content), createZstdCompress(), async (packed) => {
    for await (const bytes of packed as AsyncIterable<Buffer>) {
      await writeFully(handle, bytes, position)
      position += bytes.length
    }
  })
  await handle.sync()
  return position
}

async function* manifestText(content: ManifestContent): AsyncGenerator<Uint8Array> {
  yield Buffer.from(JSON.stringify(content.header) + '\n')
  yield* content.entries.text()
  for (const text of batchesOf(tableLines(content))) yield Buffer.from(text)
}

function* tableLines({ chunks, pieceSha256 }: ManifestContent): Generator<string> {
  for (let i = 0; i < chunks.count; i++) {
    yield encodeChunk({
      tarOffset: chunks.tarOffset[i] ?? 0,
      lengthBytes: chunks.lengthBytes[i] ?? 0,
      packOffset: chunks.packOffset[i] ?? 0,
      packedBytes: chunks.packedBytes[i] ?? 0,
      sha256: chunks.sha256.subarray(32 * i, 32 * i + 32),
    })
  }
  for (let i = 0; i < pieceSha256.length; i += 32)
    yield encodePiece(pieceSha256.subarray(i, i + 32))
}

function* batchesOf(lines: Iterable<string>): Generator<string> {
  let text = ''
  for (const line of lines) {
    text += line + '\n'
    if (text.length < BATCH_CHARACTERS) continue
    yield text
    text = ''
  }
  if (text !== '') yield text
}
