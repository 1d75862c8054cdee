// Where payload goes, on the thread whose socket it comes from. Invariant: payload is written only where
// this connection was asked to, a block at a time and whole, after claiming it; a block that is cut by
// a read waits in a buffer of its own until the rest has come. So a block has one sender, who can be
// held to it, and half a block of a slow peer keeps nobody from sending it faster. Payload is handed in, or
// received straight into the place that this tells.
import { copyBytes } from '../../core/core.ts'
import { BLOCK_BYTES } from '../../torrent/torrent.ts'
import { type BlockTable, type SlotPlace } from '../pieces/block-table.ts'
import { isSameRange, type BlockRange, type WireMessage, type WireSink } from '../wire/wire.ts'

/** Blocks `first` up to, not including, `end` of a piece: received, complete, nobody else's. */
export interface ReceivedBlocks {
  readonly pieceIndex: number
  /** Of the slot the piece had when it was asked for. */
  readonly generation: number
  readonly first: number
  readonly end: number
}

/** Who is told what a peer sends. May throw a SiError, which closes the connection. */
export interface PeerSink {
  onMessage(message: WireMessage): void
  /** A piece message begins. Unless `isExpected`, it was not asked for and is thrown away. */
  onPayloadBegin(range: BlockRange, isExpected: boolean): void
  /** Also called for what came before a close(), even after it. */
  onBlocks(blocks: ReceivedBlocks): void
  onPayload(payload: PayloadCount): void
  onPayloadEnd(): void
  /** All that has come at once was told: the time to ask for more. */
  onDrained(): void
}

export interface PayloadCount {
  /** Payload that has come since the last call. */
  readonly bytes: number
  /** Bytes of blocks received since then, and of those that were not needed. */
  readonly usedBytes: number
  readonly wastedBytes: number
}

/** The slots that payload can be written into. */
export interface IntakeSlots {
  readonly table: BlockTable
  view(slot: number): Uint8Array
}

/** Ranges a peer was asked for and has not sent; some it never will. The oldest are forgotten. */
const MAX_EXPECTED = 2048

/** Shorter messages are handed in: many of them are received at once. */
const MIN_PLACED_BYTES = 64 * 1024

/** Blocks that were claimed to be received into. */
interface Run {
  readonly first: number
  readonly end: number
}

interface Expected extends BlockRange {
  readonly place: SlotPlace
}

export class Intake implements WireSink {
  readonly #sink: PeerSink
  readonly #slots: IntakeSlots | undefined
  readonly #expected: Expected[] = []
  #current: Expected | undefined
  /** Where in the piece the next byte belongs. */
  #atBytes = 0
  #held: Uint8Array | undefined
  #heldBytes = 0
  #usedBytes = 0
  #wastedBytes = 0
  #run: Run | undefined

  /** Without slots nothing is ever expected. */
  constructor(sink: PeerSink, slots: IntakeSlots | undefined) {
    this.#sink = sink
    this.#slots = slots
  }

  /** The peer is about to be asked for a range, which begins and ends with a block. */
  expect(range: BlockRange, place: SlotPlace): void {
    this.#expected.push({ ...range, place })
    if (this.#expected.length > MAX_EXPECTED) this.#expected.shift()
  }

  onMessage(message: WireMessage): void {
    this.#sink.onMessage(message)
  }

  onPayloadBegin(range: BlockRange): void {
    const at = this.#expected.findIndex((expected) => isSameRange(expected, range))
    this.#current = at < 0 ? undefined : this.#expected.splice(at, 1)[0]
    this.#atBytes = range.offsetBytes
    this.#heldBytes = 0
    this.#sink.onPayloadBegin(range, this.#current !== undefined)
  }

  onPayload(fragment: Uint8Array): void {
    this.#usedBytes = 0
    this.#wastedBytes = 0
    if (this.#current === undefined) this.#wastedBytes = fragment.length
    else this.#take(this.#current, fragment)
    const [usedBytes, wastedBytes] = [this.#usedBytes, this.#wastedBytes]
    this.#sink.onPayload({ bytes: fragment.length, usedBytes, wastedBytes })
  }

  /**
   * Where the next payload belongs: whole blocks in the slab, which are claimed now, or the rest of one that was
   * cut; at most `mostBytes`, which have come already. Undefined: it is to be handed in. Whoever gets a place
   * calls placed() before anything else.
   */
  place(mostBytes: number): Uint8Array | undefined {
    const current = this.#current
    const slots = this.#slots
    if (current === undefined || current.lengthBytes < MIN_PLACED_BYTES) return undefined
    if (slots === undefined) return undefined
    const rangeEnd = current.offsetBytes + current.lengthBytes
    const reach = Math.min(rangeEnd, this.#atBytes + mostBytes)
    const wholeEnd = reach === rangeEnd ? reach : reach - (reach % BLOCK_BYTES)
    if (this.#heldBytes > 0 || wholeEnd <= this.#atBytes) return this.#heldPlace(current, mostBytes)
    const first = this.#atBytes / BLOCK_BYTES
    const last = Math.ceil(wholeEnd / BLOCK_BYTES)
    let end = first
    while (end < last && slots.table.claim(current.place, end)) end++
    if (end === first) return undefined
    this.#run = { first, end }
    const endBytes = Math.min(wholeEnd, end * BLOCK_BYTES)
    return slots.view(current.place.slot).subarray(this.#atBytes, endBytes)
  }

  /** The first `lengthBytes` of what place() told have been received. */
  placed(lengthBytes: number): void {
    const current = this.#current
    const run = this.#run
    this.#run = undefined
    this.#usedBytes = 0
    this.#wastedBytes = 0
    if (current === undefined) return
    if (run === undefined) this.#fillHeld(current, lengthBytes)
    else this.#settle(current, run, lengthBytes)
    if (lengthBytes === 0) return
    const [usedBytes, wastedBytes] = [this.#usedBytes, this.#wastedBytes]
    this.#sink.onPayload({ bytes: lengthBytes, usedBytes, wastedBytes })
  }

  /** Of the blocks that were claimed some may not have come, and one in part. */
  #settle(current: Expected, run: Run, lengthBytes: number): void {
    const { place, pieceIndex } = current
    const slots = this.#slots
    const cameEnd = this.#atBytes + lengthBytes
    const isLast = cameEnd === current.offsetBytes + current.lengthBytes
    const end = isLast ? run.end : Math.floor(cameEnd / BLOCK_BYTES)
    for (let block = run.first; block < end; block++) slots?.table.markReceived(place, block)
    const wholeEnd = Math.min(cameEnd, end * BLOCK_BYTES)
    const cut = slots?.view(place.slot).subarray(wholeEnd, cameEnd)
    if (cut !== undefined && cut.length > 0) this.#heldMemory().set(cut)
    this.#heldBytes = cameEnd - wholeEnd
    for (let block = end; block < run.end; block++) slots?.table.giveUp(place, block)
    this.#usedBytes = wholeEnd - this.#atBytes
    this.#atBytes = wholeEnd
    if (end === run.first) return
    this.#sink.onBlocks({ pieceIndex, generation: place.generation, first: run.first, end })
  }

  #heldPlace(current: Expected, mostBytes: number): Uint8Array {
    const end = Math.min(this.#blockBytes(current), this.#heldBytes + mostBytes)
    return this.#heldMemory().subarray(this.#heldBytes, end)
  }

  #fillHeld(current: Expected, lengthBytes: number): void {
    this.#heldBytes += lengthBytes
    const blockBytes = this.#blockBytes(current)
    if (this.#heldBytes < blockBytes) return
    this.#heldBytes = 0
    this.#write(current, this.#heldMemory().subarray(0, blockBytes))
  }

  #heldMemory(): Uint8Array {
    return (this.#held ??= new Uint8Array(BLOCK_BYTES))
  }

  /** Length of the block that we are at: the last of a piece is shorter. */
  #blockBytes({ offsetBytes, lengthBytes }: Expected): number {
    return Math.min(BLOCK_BYTES, offsetBytes + lengthBytes - this.#atBytes)
  }

  onPayloadEnd(): void {
    this.#current = undefined
    this.#sink.onPayloadEnd()
  }

  onDrained(): void {
    this.#sink.onDrained()
  }

  /** The rest of a block that was cut, then whole blocks, then the beginning of the next. */
  #take(current: Expected, fragment: Uint8Array): void {
    const restBytes = this.#heldBytes > 0 ? this.#hold(current, fragment) : 0
    const endBytes = this.#atBytes + fragment.length - restBytes
    const isLast = endBytes === current.offsetBytes + current.lengthBytes
    const wholeEnd = isLast ? endBytes : endBytes - (endBytes % BLOCK_BYTES)
    const wholeBytes = Math.max(0, wholeEnd - this.#atBytes)
    if (wholeBytes > 0) this.#write(current, fragment.subarray(restBytes, restBytes + wholeBytes))
    if (restBytes + wholeBytes < fragment.length) {
      this.#hold(current, fragment.subarray(restBytes + wholeBytes))
    }
  }

  /** Keeps bytes of a block that is not whole; writes it when it is. Returns how many it took. */
  #hold(current: Expected, bytes: Uint8Array): number {
    const part = bytes.subarray(0, this.#blockBytes(current) - this.#heldBytes)
    this.#heldMemory().set(part, this.#heldBytes)
    this.#fillHeld(current, part.length)
    return part.length
  }

  /** Whole blocks from where we are: those next to each other that can be claimed are copied at once. */
  #write(current: Expected, bytes: Uint8Array): void {
    const { table } = this.#slots ?? {}
    const startBytes = this.#atBytes
    this.#atBytes += bytes.length
    const first = startBytes / BLOCK_BYTES
    const end = Math.ceil(this.#atBytes / BLOCK_BYTES)
    for (let block = first; block < end;) {
      const runFirst = block
      while (block < end && table?.claim(current.place, block)) block++
      if (block > runFirst) {
        this.#store(current, { first: runFirst, end: block, startBytes }, bytes)
      } else {
        block++
        this.#wastedBytes += Math.min(BLOCK_BYTES, this.#atBytes - runFirst * BLOCK_BYTES)
      }
    }
  }

  #store(
    current: Expected,
    run: { readonly first: number; readonly end: number; readonly startBytes: number },
    bytes: Uint8Array,
  ): void {
    const { place, pieceIndex } = current
    const from = run.first * BLOCK_BYTES
    const part = bytes.subarray(from - run.startBytes, run.end * BLOCK_BYTES - run.startBytes)
    if (this.#slots !== undefined) copyBytes(part, this.#slots.view(place.slot), from)
    for (let block = run.first; block < run.end; block++) {
      this.#slots?.table.markReceived(place, block)
    }
    this.#usedBytes += part.length
    const { first, end } = run
    this.#sink.onBlocks({ pieceIndex, generation: place.generation, first, end })
  }
}
