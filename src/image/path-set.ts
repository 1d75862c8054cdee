// A set of paths that keeps 8 bytes a path instead of the path: millions of files fit in memory.
// Invariant: a path that was added is always found; one that was not is found with a chance of about
// 2^-64 a pair, which nobody can aim at because the hash is seeded by chance.
import { randomFillSync } from 'node:crypto'

const INITIAL_SLOTS = 1024
const FACTOR_1 = 0x85ebca6b | 0
const FACTOR_2 = 0xc2b2ae35 | 0

export class PathSet {
  readonly #seed = randomFillSync(new Int32Array(2))
  /** Pairs of hash words by open addressing; a pair of zeros is a free slot. */
  #slots = new Int32Array(2 * INITIAL_SLOTS)
  #count = 0

  has(path: Uint8Array): boolean {
    const [high, low] = this.#hash(path)
    const slot = this.#find(high, low)
    return this.#slots[slot] !== 0 || this.#slots[slot + 1] !== 0
  }

  /** False when it was there already. */
  add(path: Uint8Array): boolean {
    const [high, low] = this.#hash(path)
    const slot = this.#find(high, low)
    if (this.#slots[slot] !== 0 || this.#slots[slot + 1] !== 0) return false
    this.#slots[slot] = high
    this.#slots[slot + 1] = low
    if (++this.#count * 4 > this.#slots.length) this.#grow()
    return true
  }

  /** Index of the pair's slot, or of the free slot where it belongs. */
  #find(high: number, low: number): number {
    const slots = this.#slots
    const mask = slots.length / 2 - 1
    let slot = low & mask
    for (;;) {
      const a = slots[2 * slot]
      const b = slots[2 * slot + 1]
      if ((a === high && b === low) || (a === 0 && b === 0)) return 2 * slot
      slot = (slot + 1) & mask
    }
  }

  #grow(): void {
    const old = this.#slots
    this.#slots = new Int32Array(old.length * 2)
    for (let i = 0; i < old.length; i += 2) {
      const high = old[i] ?? 0
      const low = old[i + 1] ?? 0
      if (high === 0 && low === 0) continue
      const slot = this.#find(high, low)
      this.#slots[slot] = high
      this.#slots[slot + 1] = low
    }
  }

  #hash(path: Uint8Array): [high: number, low: number] {
    let high = this.#seed[0] ?? 0
    let low = this.#seed[1] ?? 0
    for (let i = 0; i < path.length; i++) {
      const byte = path[i] as number
      high = Math.imul((high ^ byte) + (low >>> 15), FACTOR_1)
      low = Math.imul(low ^ byte ^ (high >>> 13), FACTOR_2)
    }
    high ^= low >>> 16
    low = Math.imul(low ^ (low >>> 15) ^ path.length, FACTOR_1) ^ (high >>> 11)
    return high === 0 && low === 0 ? [0, 1] : [high, low]
  }
}
