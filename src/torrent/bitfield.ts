// A set of piece indexes as the wire spells it: the high bit of the first byte is piece 0, spare bits
// at the end are zero. Invariant: `count` always equals the number of set bits. Spec: BEP 3.
import { SiError } from '../core/core.ts'

export class Bitfield {
  readonly length: number
  readonly #bytes: Uint8Array
  #count = 0

  /**
   * An empty set over `length` pieces, or a copy of `bytes`. Throws ERR_SI_PROTOCOL when `bytes` has
   * another length than `length` needs, or a spare bit set.
   */
  constructor(length: number, bytes?: Uint8Array) {
    const lengthBytes = Math.ceil(length / 8)
    this.length = length
    this.#bytes = new Uint8Array(lengthBytes)
    if (bytes === undefined) return
    if (bytes.length !== lengthBytes) {
      throw new SiError(
        'ERR_SI_PROTOCOL',
        `Cannot read bitfield: ${bytes.length} bytes, ${length} pieces need ${lengthBytes}`,
      )
    }
    const spareBits = lengthBytes * 8 - length
    if (((bytes[lengthBytes - 1] ?? 0) & ((1 << spareBits) - 1)) !== 0) {
      throw new SiError('ERR_SI_PROTOCOL', 'Cannot read bitfield: a spare bit is set')
    }
    this.#bytes.set(bytes)
    for (const byte of bytes) this.#count += bitsSet(byte)
  }

  /** All of `length` pieces. */
  static full(length: number): Bitfield {
    const all = new Bitfield(length)
    all.setAll()
    return all
  }

  /** False for every index outside the field. */
  has(index: number): boolean {
    return (((this.#bytes[index >> 3] ?? 0) >> (7 - (index & 7))) & 1) === 1
  }

  /** Adds a piece; true when it was not there. Indexes outside the field throw ERR_SI_INTERNAL. */
  set(index: number): boolean {
    this.#check(index)
    if (this.has(index)) return false
    const at = index >> 3
    this.#bytes[at] = (this.#bytes[at] ?? 0) | (0x80 >> (index & 7))
    this.#count++
    return true
  }

  /** Removes a piece; true when it was there. */
  clear(index: number): boolean {
    this.#check(index)
    if (!this.has(index)) return false
    const at = index >> 3
    this.#bytes[at] = (this.#bytes[at] ?? 0) & ~(0x80 >> (index & 7))
    this.#count--
    return true
  }

  setAll(): void {
    this.#bytes.fill(0xff)
    const spareBits = this.#bytes.length * 8 - this.length
    const last = this.#bytes.length - 1
    if (last >= 0) this.#bytes[last] = (0xff << spareBits) & 0xff
    this.#count = this.length
  }

  /** How many pieces are in the set. */
  get count(): number {
    return this.#count
  }

  get isComplete(): boolean {
    return this.#count === this.length
  }

  /** A copy in BEP 3 order. */
  get bytes(): Buffer {
    return Buffer.from(this.#bytes)
  }

  clone(): Bitfield {
    return new Bitfield(this.length, this.#bytes)
  }

  /** The pieces of the set in ascending order. */
  *indexes(): Generator<number, void, void> {
    for (let index = 0; index < this.length; index++) if (this.has(index)) yield index
  }

  #check(index: number): void {
    if (!Number.isInteger(index) || index < 0 || index >= this.length) {
      throw new SiError('ERR_SI_INTERNAL', `Piece ${index} is outside a field of ${this.length}`)
    }
  }
}

function bitsSet(byte: number): number {
  let count = 0
  for (let rest = byte; rest !== 0; rest &= rest - 1) count++
  return count
}
