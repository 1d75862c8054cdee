// What goes between the network thread and a lane, packed: one array of 32-bit words per turn of the
// event loop instead of a message for each event. Pure. Invariant: what was put comes out in the same
// order and with the same types; the two sides agree on them by lane-protocol alone.

const FIRST_WORDS = 1024

/** A batch that became larger than this (a burst) does not keep its memory. */
const KEPT_WORDS = 64 * 1024

export class BatchWriter {
  #words = new Int32Array(FIRST_WORDS)
  #used = 0

  /** Words put in since the last take(). */
  get length(): number {
    return this.#used
  }

  /** Numbers from 0 to 2^32 - 1. */
  put(...values: readonly number[]): void {
    this.#reserve(values.length)
    for (const value of values) this.#words[this.#used++] = value
  }

  putBytes(bytes: Uint8Array): void {
    const words = Math.ceil(bytes.length / 4)
    this.#reserve(1 + words)
    this.#words[this.#used++] = bytes.length
    new Uint8Array(this.#words.buffer, this.#used * 4, bytes.length).set(bytes)
    this.#used += words
  }

  /** What was put in, in memory of its own, to be transferred; the writer is then empty. */
  take(): Int32Array<ArrayBuffer> {
    const batch = this.#words.slice(0, this.#used)
    this.#used = 0
    if (this.#words.length > KEPT_WORDS) this.#words = new Int32Array(FIRST_WORDS)
    return batch
  }

  #reserve(words: number): void {
    if (this.#used + words <= this.#words.length) return
    const larger = new Int32Array(Math.max(2 * this.#words.length, this.#used + words))
    larger.set(this.#words.subarray(0, this.#used))
    this.#words = larger
  }
}

export class BatchReader {
  readonly #words: Int32Array
  #at = 0

  constructor(words: Int32Array) {
    this.#words = words
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#words.length
  }

  next(): number {
    return (this.#words[this.#at++] ?? 0) >>> 0
  }

  /** A view of the batch, good as long as the batch is kept. */
  nextBytes(): Buffer {
    const length = this.next()
    const start = this.#words.byteOffset + this.#at * 4
    this.#at += Math.ceil(length / 4)
    return Buffer.from(this.#words.buffer, start, length)
  }
}
