// Any range of an image's tar, read from its pack. Invariant: what is handed out matched its chunk's SHA-256;
// memory is one chunk. Spec: FORMAT.md §2, §3.
import { hash } from 'node:crypto'
import { open, type FileHandle } from 'node:fs/promises'
import { asBuffer, messageOf, SiError } from '../core/core.ts'
import type { ChunkTable } from './chunk-table.ts'
import { readFully } from './file-io.ts'
import { FrameDecoder } from './frame-decoder.ts'

const SHA256_BYTES = 32

/** Index of the chunk that holds this byte of the tar; the tar must be longer than `tarOffset`. */
export function chunkAt(chunks: ChunkTable, tarOffset: number): number {
  let low = 0
  let high = chunks.count - 1
  while (low < high) {
    const middle = (low + high + 1) >>> 1
    if ((chunks.tarOffset[middle] ?? 0) <= tarOffset) low = middle
    else high = middle - 1
  }
  return low
}

/** The SHA-256 of a chunk's plain bytes. */
export function chunkHash(chunks: ChunkTable, chunk: number): Buffer {
  return asBuffer(chunks.sha256.subarray(SHA256_BYTES * chunk, SHA256_BYTES * (chunk + 1)))
}

export class PackReader implements AsyncDisposable {
  readonly chunks: ChunkTable
  readonly #path: string
  readonly #file: FileHandle
  readonly #decoder = new FrameDecoder()
  #current = -1
  #plain: Uint8Array = new Uint8Array(0)

  private constructor(path: string, file: FileHandle, chunks: ChunkTable) {
    this.#path = path
    this.#file = file
    this.chunks = chunks
  }

  static async open(packPath: string, chunks: ChunkTable): Promise<PackReader> {
    return new PackReader(packPath, await open(packPath, 'r'), chunks)
  }

  /** The chunk's plain bytes, valid until the next call. Throws ERR_SI_INTEGRITY. */
  async chunk(index: number): Promise<Uint8Array> {
    if (index === this.#current) return this.#plain
    this.#current = -1
    const { packOffset, packedBytes, lengthBytes } = this.chunks
    const frame = Buffer.allocUnsafe(packedBytes[index] ?? 0)
    try {
      await readFully(this.#file, frame, packOffset[index] ?? 0)
      this.#plain = this.#decoder.decode(frame, lengthBytes[index] ?? 0)
    } catch (error) {
      throw this.#damaged(index, messageOf(error), error)
    }
    if (!hash('sha256', this.#plain, 'buffer').equals(chunkHash(this.chunks, index))) {
      throw this.#damaged(index, 'its SHA-256 is another')
    }
    this.#current = index
    return this.#plain
  }

  /** The bytes of [tarOffset, tarOffset + lengthBytes) in parts, each valid until the next is taken. */
  async *range(tarOffset: number, lengthBytes: number): AsyncGenerator<Uint8Array> {
    const end = tarOffset + lengthBytes
    let position = tarOffset
    for (let index = chunkAt(this.chunks, tarOffset); position < end; index++) {
      const start = this.chunks.tarOffset[index] ?? 0
      const plain = await this.chunk(index)
      yield plain.subarray(position - start, end - start)
      position = start + plain.length
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close()
  }

  #damaged(chunk: number, reason: string, cause?: unknown): SiError {
    const what = `Cannot read chunk ${chunk} of ${this.#path}: ${reason}`
    const hint = 'Run si-verifyimage to see which files are affected'
    return new SiError('ERR_SI_INTEGRITY', what, { hint, cause })
  }
}
