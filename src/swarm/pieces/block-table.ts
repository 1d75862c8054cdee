// Which blocks of which slots may be written, in memory that all threads share. Invariant: a block is
// written by one thread, whole, once; whoever wants to must claim it first, and a slot is given to
// another piece only while nobody writes into it. So neither a late liar nor a slow thread can spoil
// what was received. One 32-bit word a block: the generation of its slot above 8 bits of state.
import { SiError } from '../../core/core.ts'

/** A slot as long as it belongs to one piece: the generation tells its owners apart. */
export interface SlotPlace {
  readonly slot: number
  readonly generation: number
}

export interface BlockTableShare {
  readonly words: SharedArrayBuffer
  readonly blocksPerSlot: number
}

/** Threads that can receive payload; the network thread itself is lane 0. */
export const MAX_LANES = 62

/** States: nobody has it; lane n writes it; lane n received it; not to be written any more. */
const FREE = 0
const WRITING = 1
const RECEIVED = WRITING + MAX_LANES + 1
const SEALED = 255

/** Shared by value; `slots` slots, all sealed. */
export function createBlockTable(slots: number, blocksPerSlot: number): BlockTableShare {
  const words = new SharedArrayBuffer(slots * blocksPerSlot * 4)
  new Int32Array(words).fill(SEALED)
  return { words, blocksPerSlot }
}

/** The table as one thread sees it: `lane` marks what this thread does. */
export class BlockTable {
  readonly share: BlockTableShare
  readonly #words: Int32Array
  readonly #lane: number

  constructor(share: BlockTableShare, lane: number) {
    if (lane > MAX_LANES) throw new SiError('ERR_SI_INTERNAL', `There is no lane ${lane}`)
    this.share = share
    this.#words = new Int32Array(share.words)
    this.#lane = lane
  }

  /** True: the caller writes the block now and calls `markReceived`, or `giveUp`, next. False: it must not. */
  claim(place: SlotPlace, block: number): boolean {
    const free = wordOf(place.generation, FREE)
    const writing = wordOf(place.generation, WRITING + this.#lane)
    return Atomics.compareExchange(this.#words, this.#at(place.slot, block), free, writing) === free
  }

  markReceived(place: SlotPlace, block: number): void {
    const received = wordOf(place.generation, RECEIVED + this.#lane)
    Atomics.store(this.#words, this.#at(place.slot, block), received)
  }

  /** The block that was claimed did not come: whoever has it may claim it. */
  giveUp(place: SlotPlace, block: number): void {
    Atomics.store(this.#words, this.#at(place.slot, block), wordOf(place.generation, FREE))
  }

  /** For the owner of the slots: a sealed slot gets a new generation, its blocks may be claimed. */
  open(slot: number): SlotPlace {
    const last = Atomics.load(this.#words, this.#at(slot, 0)) >>> 8
    const generation = (last + 1) & 0xffffff
    this.#forSlot(slot, (at) => Atomics.store(this.#words, at, wordOf(generation, FREE)))
    return { slot, generation }
  }

  /** For the owner: nobody can claim a block any more. False, and nothing changed: somebody writes. */
  seal(slot: number): boolean {
    let isWritten = false
    this.#forSlot(slot, (at) => {
      const word = Atomics.load(this.#words, at)
      const found = isFree(word) ? this.#exchange(at, word, SEALED) : word
      isWritten ||= isWriting(found)
    })
    if (!isWritten) return true
    this.#forSlot(slot, (at) => {
      const word = Atomics.load(this.#words, at)
      if (stateOf(word) === SEALED) this.#exchange(at, word, FREE)
    })
    return false
  }

  /**
   * For the owner, when a lane has ended: what it was writing is free again, and so is what it received
   * unless the owner has marked it since.
   */
  forgetLane(lane: number): void {
    this.#words.forEach((word, at) => {
      const state = stateOf(word)
      const isLost = state === WRITING + lane || state === RECEIVED + lane
      if (isLost) this.#exchange(at, word, FREE)
    })
  }

  /** The word found, which is the one looked for when it was replaced. */
  #exchange(at: number, word: number, state: number): number {
    return Atomics.compareExchange(this.#words, at, word, wordOf(word >>> 8, state))
  }

  #at(slot: number, block: number): number {
    return slot * this.share.blocksPerSlot + block
  }

  #forSlot(slot: number, act: (at: number) => void): void {
    const first = this.#at(slot, 0)
    for (let at = first; at < first + this.share.blocksPerSlot; at++) act(at)
  }
}

function wordOf(generation: number, state: number): number {
  return (generation << 8) | state
}

function stateOf(word: number): number {
  return word & 0xff
}

function isFree(word: number): boolean {
  return stateOf(word) === FREE
}

function isWriting(word: number): boolean {
  const state = stateOf(word)
  return state >= WRITING && state < RECEIVED
}
