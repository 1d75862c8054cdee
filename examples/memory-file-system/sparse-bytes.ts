// The bytes of a file in memory, in blocks that exist only where something was written: what lies between
// reads as zeros and takes no room.

export const BLOCK_BYTES = 64 * 2 ** 10

export class SparseBytes {
  readonly #blocks = new Map<number, Buffer>()
  #sizeBytes = 0

  get sizeBytes(): number {
    return this.#sizeBytes
  }

  /** Bytes that are taken. */
  get usedBytes(): number {
    return this.#blocks.size * BLOCK_BYTES
  }

  read(offset: number, lengthBytes: number): Buffer {
    const end = Math.min(offset + lengthBytes, this.#sizeBytes)
    const into = Buffer.alloc(Math.max(0, end - offset))
    for (const part of parts(offset, end)) {
      this.#blocks.get(part.block)?.copy(into, part.at - offset, part.from, part.to)
    }
    return into
  }

  write(offset: number, data: Uint8Array): void {
    const end = offset + data.length
    for (const part of parts(offset, end)) {
      this.#block(part.block).set(
        data.subarray(part.at - offset, part.at - offset + part.to - part.from),
        part.from,
      )
    }
    this.#sizeBytes = Math.max(this.#sizeBytes, end)
  }

  /** Longer: with zeros that take no room. */
  resize(sizeBytes: number): void {
    if (sizeBytes < this.#sizeBytes) this.clear(sizeBytes, this.#sizeBytes)
    this.#sizeBytes = sizeBytes
  }

  /** Takes the room of a range; what is not there yet is zeros. */
  allocate(offset: number, end: number): void {
    for (const { block } of parts(offset, end)) this.#block(block)
  }

  /** Makes a range zeros and gives back the blocks that lie wholly in it. */
  clear(offset: number, end: number): void {
    for (const part of parts(offset, end)) {
      if (part.to - part.from === BLOCK_BYTES || part.at + part.to - part.from >= this.#sizeBytes) {
        if (part.from === 0) this.#blocks.delete(part.block)
      }
      this.#blocks.get(part.block)?.fill(0, part.from, part.to)
    }
  }

  /** Where data (or a hole) begins at or behind an offset; undefined when there is no more data. */
  seek(offset: number, what: 'data' | 'hole'): number | undefined {
    if (offset >= this.#sizeBytes) return undefined
    for (let at = offset; at < this.#sizeBytes;) {
      const block = Math.floor(at / BLOCK_BYTES)
      if (this.#blocks.has(block) === (what === 'data')) return at
      at = (block + 1) * BLOCK_BYTES
    }
    return what === 'hole' ? this.#sizeBytes : undefined
  }

  #block(index: number): Buffer {
    let block = this.#blocks.get(index)
    if (block === undefined) {
      block = Buffer.alloc(BLOCK_BYTES)
      this.#blocks.set(index, block)
    }
    return block
  }
}

interface Part {
  readonly block: number
  /** Offset in the file. */
  readonly at: number
  /** The range inside of the block. */
  readonly from: number
  readonly to: number
}

function* parts(offset: number, end: number): Generator<Part> {
  for (let at = offset; at < end;) {
    const block = Math.floor(at / BLOCK_BYTES)
    const from = at - block * BLOCK_BYTES
    const to = Math.min(BLOCK_BYTES, end - block * BLOCK_BYTES)
    yield { block, at, from, to }
    at = block * BLOCK_BYTES + to
  }
}
