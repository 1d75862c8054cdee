// Which bytes to ask a peer for. Pure: knows pieces, blocks and how many peers have what; no socket, no
// clock, no slot. Invariant: a block that is neither received nor asked for can be picked by some
// peer, so nothing is ever forgotten. Begun pieces come first, then the rarest with random ties; when
// all is asked for, the end game asks for the oldest requests again. States: STATE.md.
import {
  BLOCK_BYTES,
  blockCount,
  padBlocks,
  pieceSizeBytes,
  type Metainfo,
} from '../torrent/torrent.ts'
import {
  blocksOf,
  firstFreeRun,
  lastOwedRun,
  mayAsk,
  type BegunPiece,
  type PeerKey,
  type PickingPeer,
  type Run,
} from './begun-piece.ts'
import { type BlockRange } from './wire/wire.ts'

export interface PickedRange extends BlockRange {
  /** The piece had not been begun: the caller now finds it a slot. */
  readonly isFirst: boolean
}

/** How many peers are asked for the same block in the end game, at most. */
const MAX_REQUESTERS = 3

type PieceState = 'unwanted' | 'missing' | 'begun' | 'checking' | 'done'

type PieceGeometry = Pick<Metainfo, 'pieceCount' | 'pieceLengthBytes' | 'lengthBytes' | 'files'>

export interface PickerOptions {
  readonly metainfo: PieceGeometry
  /** Uniform in [0, 1). */
  readonly random: () => number
}

export class Picker {
  readonly #metainfo: PickerOptions['metainfo']
  readonly #random: () => number
  readonly #states: PieceState[]
  readonly #availability: Uint32Array
  readonly #begun = new Map<number, BegunPiece>()
  /** Wanted pieces not begun, in random order, and where each stands in it. */
  readonly #missing: number[] = []
  readonly #place: Int32Array
  /** How many of the missing pieces have each availability: tells when a search can stop. */
  readonly #missingOf: number[] = [0]
  #checkingCount = 0

  constructor(options: PickerOptions) {
    const { pieceCount } = options.metainfo
    this.#metainfo = options.metainfo
    this.#random = options.random
    this.#states = new Array<PieceState>(pieceCount).fill('unwanted')
    this.#availability = new Uint32Array(pieceCount)
    this.#place = new Int32Array(pieceCount).fill(-1)
  }

  /** Adds a piece to the wanted ones; nothing changes when it already was, or is done. */
  want(index: number): void {
    if (this.#states[index] === 'unwanted') this.#addMissing(index)
  }

  stateOf(index: number): PieceState {
    return this.#states[index] ?? 'unwanted'
  }

  /** A connected peer has this piece. */
  addAvailability(index: number): void {
    this.#changeAvailability(index, 1)
  }

  /** A peer that had this piece is gone. */
  removeAvailability(index: number): void {
    this.#changeAvailability(index, -1)
  }

  availabilityOf(index: number): number {
    return this.#availability[index] ?? 0
  }

  /** Pieces wanted and not yet done. */
  get unfinishedCount(): number {
    return this.#missing.length + this.#begun.size + this.#checkingCount
  }

  /** True when every wanted piece is at least begun: idle peers may then be asked twice. */
  get isEndGame(): boolean {
    return this.#missing.length === 0
  }

  /** About how many bytes nobody was asked for yet. */
  get unaskedBytes(): number {
    let blocks = 0
    for (const piece of this.#begun.values()) blocks += piece.freeBlocks
    return this.#missing.length * this.#metainfo.pieceLengthBytes + blocks * BLOCK_BYTES
  }

  /** Whether the peer has anything that is wanted and not received. */
  isInteresting(peer: PickingPeer): boolean {
    for (const index of this.#begun.keys()) if (peer.has(index)) return true
    return this.#missing.some((index) => peer.has(index))
  }

  /**
   * The next range to ask the peer for, at most `maxBytes` (a multiple of 16 KiB) long, now counted as
   * asked for. Undefined when there is nothing for it, or only by beginning a piece without `canBegin`.
   */
  pick(peer: PickingPeer, maxBytes: number, canBegin: boolean): PickedRange | undefined {
    for (const piece of this.#begun.values()) {
      if (piece.freeBlocks === 0 || !mayAsk(piece, peer)) continue
      return { ...this.#take(piece, firstFreeRun(piece, maxBytes)), isFirst: false }
    }
    const index = canBegin ? this.#rarestFor(peer) : undefined
    if (index === undefined) return peer.isOnParole ? this.#joinBegun(peer, maxBytes) : undefined
    const piece = this.#begin(index)
    if (peer.isOnParole) piece.soleKey = peer.key
    return { ...this.#take(piece, firstFreeRun(piece, maxBytes)), isFirst: true }
  }

  /** A suspect with nothing to fetch alone may help where nobody does: better suspected than stuck. */
  #joinBegun(peer: PickingPeer, maxBytes: number): PickedRange | undefined {
    for (const piece of this.#begun.values()) {
      if (piece.freeBlocks === 0 || piece.soleKey !== undefined || !peer.has(piece.index)) continue
      return { ...this.#take(piece, firstFreeRun(piece, maxBytes)), isFirst: false }
    }
    return undefined
  }

  /** Whether the peer has a missing piece that it could begin. */
  canBegin(peer: PickingPeer): boolean {
    return this.#missing.some((index) => peer.has(index))
  }

  /**
   * In the end game: a range that others were asked for and still owe, from the end of the piece that
   * fewest were asked for. `isAsked` tells what this very peer was asked for already.
   */
  pickAgain(
    peer: PickingPeer,
    maxBytes: number,
    isAsked: (pieceIndex: number, block: number) => boolean,
  ): BlockRange | undefined {
    if (!this.isEndGame || peer.isOnParole) return undefined
    let best: { piece: BegunPiece; run: Run; requests: number } | undefined
    for (const piece of this.#begun.values()) {
      if (!peer.has(piece.index)) continue
      const run = lastOwedRun(piece, maxBytes, (block) => isAsked(piece.index, block))
      const requests = run === undefined ? MAX_REQUESTERS : (piece.requests[run.first] ?? 0)
      if (run === undefined || requests >= (best?.requests ?? MAX_REQUESTERS)) continue
      best = { piece, run, requests }
    }
    return best === undefined ? undefined : this.#take(best.piece, best.run)
  }

  /** What the peer owed of this range will not come: others may be asked. */
  giveBack(range: BlockRange): void {
    const piece = this.#begun.get(range.pieceIndex)
    if (piece === undefined) return
    const { first, end } = blocksOf(range)
    for (let block = first; block < end; block++) {
      const requests = piece.requests[block] ?? 0
      if (requests === 0) continue
      piece.requests[block] = requests - 1
      if (requests === 1 && piece.received[block] === 0) piece.freeBlocks++
    }
  }

  /** The peer is gone or gives nothing: pieces it had for itself are open to all again. */
  forget(key: PeerKey): void {
    for (const piece of this.#begun.values()) {
      if (piece.soleKey === key) piece.soleKey = undefined
    }
  }

  /** True when any block of the piece was asked for twice at the same time. */
  isAskedTwice(pieceIndex: number): boolean {
    return this.#begun.get(pieceIndex)?.requests.some((requests) => requests > 1) ?? false
  }

  /** A block has come. `complete` when it was the last: the piece is now being checked. */
  receive(pieceIndex: number, block: number): 'new' | 'complete' | 'unneeded' {
    const piece = this.#begun.get(pieceIndex)
    if (piece === undefined || piece.received[block] !== 0) return 'unneeded'
    piece.received[block] = 1
    if (piece.requests[block] === 0) piece.freeBlocks--
    piece.missingBlocks--
    if (piece.missingBlocks > 0) return 'new'
    this.#begun.delete(pieceIndex)
    this.#states[pieceIndex] = 'checking'
    this.#checkingCount++
    return 'complete'
  }

  /** The piece was found good and written. */
  finish(index: number): void {
    if (this.#states[index] === 'checking') this.#checkingCount--
    this.#states[index] = 'done'
  }

  /** The piece was found bad: it is fetched again. */
  fail(index: number): void {
    if (this.#states[index] === 'checking') this.#checkingCount--
    this.#addMissing(index)
  }

  /** A begun piece that nobody is asked for though blocks are free: its peers are all gone. */
  stalledPiece(): number | undefined {
    for (const piece of this.#begun.values()) {
      if (piece.freeBlocks === piece.missingBlocks) return piece.index
    }
    return undefined
  }

  /** Gives a begun piece up; what was received of it is lost. */
  abandon(index: number): void {
    if (this.#begun.delete(index)) this.#addMissing(index)
  }

  #addMissing(index: number): void {
    const at = Math.floor(this.#random() * (this.#missing.length + 1))
    const moved = this.#missing[at]
    if (moved !== undefined) {
      this.#place[moved] = this.#missing.length
      this.#missing.push(moved)
    }
    this.#missing[at] = index
    this.#place[index] = at
    this.#states[index] = 'missing'
    this.#countMissing(this.availabilityOf(index), 1)
  }

  #removeMissing(index: number): void {
    const at = this.#place[index] ?? 0
    const last = this.#missing.pop()
    if (last !== undefined && last !== index) {
      this.#missing[at] = last
      this.#place[last] = at
    }
    this.#place[index] = -1
    this.#countMissing(this.availabilityOf(index), -1)
  }

  #countMissing(availability: number, change: number): void {
    this.#missingOf[availability] = (this.#missingOf[availability] ?? 0) + change
  }

  #changeAvailability(index: number, change: number): void {
    const before = this.availabilityOf(index)
    if (before + change < 0) return
    this.#availability[index] = before + change
    if (this.#states[index] !== 'missing') return
    this.#countMissing(before, -1)
    this.#countMissing(before + change, 1)
  }

  /** Starts at a random place, so that ties are broken at random, and stops at the least there is. */
  #rarestFor(peer: PickingPeer): number | undefined {
    let least = 1
    while (least < this.#missingOf.length && (this.#missingOf[least] ?? 0) <= 0) least++
    const count = this.#missing.length
    const start = Math.floor(this.#random() * count)
    let best: number | undefined
    let bestAvailability = Infinity
    for (let step = 0; step < count && bestAvailability > least; step++) {
      const index = this.#missing[(start + step) % count] ?? 0
      const availability = this.availabilityOf(index)
      if (availability >= bestAvailability || !peer.has(index)) continue
      best = index
      bestAvailability = availability
    }
    return best
  }

  #begin(index: number): BegunPiece {
    this.#removeMissing(index)
    this.#states[index] = 'begun'
    const sizeBytes = pieceSizeBytes(this.#metainfo, index)
    const blocks = blockCount(sizeBytes)
    const piece: BegunPiece = {
      ...{ index, sizeBytes, freeBlocks: blocks, missingBlocks: blocks, soleKey: undefined },
      requests: new Uint8Array(blocks),
      received: new Uint8Array(blocks),
    }
    for (const { first, end } of padBlocks(this.#metainfo, index)) {
      piece.received.fill(1, first, end)
      piece.freeBlocks -= end - first
      piece.missingBlocks -= end - first
    }
    this.#begun.set(index, piece)
    return piece
  }

  #take(piece: BegunPiece, run: Run): BlockRange {
    for (let block = run.first; block < run.end; block++) {
      const requests = piece.requests[block] ?? 0
      if (requests === 0) piece.freeBlocks--
      piece.requests[block] = requests + 1
    }
    const offsetBytes = run.first * BLOCK_BYTES
    const endBytes = Math.min(run.end * BLOCK_BYTES, piece.sizeBytes)
    return { pieceIndex: piece.index, offsetBytes, lengthBytes: endBytes - offsetBytes }
  }
}
