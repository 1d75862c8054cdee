// The pieces being downloaded: their slots, what arrives into them, and what the workers say of them.
// Invariant: a begun piece owns one slot until its worker has answered or it is given up. The bytes are
// written where the sockets are (intake); who sent wrong ones is found here.
import { setImmediate as nextTurn } from 'node:timers/promises'
import { BLOCK_BYTES, padBlocks, pieceSizeBytes, type Metainfo } from '../torrent/torrent.ts'
import { type PeerKey } from './begun-piece.ts'
import { type SlotPlace } from './pieces/block-table.ts'
import { type ReceivedBlocks } from './connection/intake.ts'
import { type Picker } from './picker.ts'
import { type PiecePool } from './pieces/piece-pool.ts'
import { type Slab } from './pieces/slab.ts'

export interface DownloaderEvents {
  /** The pool has written the piece. */
  onWritten(pieceIndex: number): void
  /** The last byte of the piece has come; whoever still owes parts of it need not send them. */
  onComplete(pieceIndex: number): void
  /** The piece was wrong; one contributor is the liar, of several nobody knows which. */
  onBad(pieceIndex: number, contributors: ReadonlySet<PeerKey>): void
  onGood(contributors: ReadonlySet<PeerKey>): void
  /** A worker failed: nothing can be written any more. */
  onFatal(error: unknown): void
}

interface PieceInSlot {
  readonly place: SlotPlace
  readonly contributors: Set<PeerKey>
}

export class Downloader {
  readonly #metainfo: Metainfo
  readonly #picker: Picker
  readonly #pool: PiecePool
  readonly #events: DownloaderEvents
  readonly #pieces = new Map<number, PieceInSlot>()
  readonly #checks = new Set<Promise<void>>()
  #isClosed = false

  constructor(
    parts: { readonly metainfo: Metainfo; readonly picker: Picker; readonly pool: PiecePool },
    events: DownloaderEvents,
  ) {
    this.#metainfo = parts.metainfo
    this.#picker = parts.picker
    this.#pool = parts.pool
    this.#events = events
  }

  get slab(): Slab {
    return this.#pool.slab
  }

  get hasFreeSlot(): boolean {
    return this.#pool.slab.freeSlots > 0
  }

  /** Where the blocks of a begun piece go. */
  placeOf(pieceIndex: number): SlotPlace | undefined {
    return this.#pieces.get(pieceIndex)?.place
  }

  /** Finds a slot for a piece just begun and puts its padding in; only while a slot is free. */
  begin(pieceIndex: number): void {
    const { slab } = this.#pool
    const place = slab.acquire()
    if (place === undefined) return this.#picker.abandon(pieceIndex)
    for (const { first, end } of padBlocks(this.#metainfo, pieceIndex)) {
      for (let block = first; block < end; block++) slab.table.claim(place, block)
      slab.view(place.slot).fill(0, first * BLOCK_BYTES, end * BLOCK_BYTES)
      for (let block = first; block < end; block++) slab.table.markReceived(place, block)
    }
    this.#pieces.set(pieceIndex, { place, contributors: new Set() })
  }

  /** Gives up a piece whose peers are all gone, to free its slot for one that can be had. */
  abandonStalled(): boolean {
    const index = this.#picker.stalledPiece()
    if (index === undefined || !this.#release(index)) return false
    this.#picker.abandon(index)
    return true
  }

  /** Blocks were written into the slot of their piece. */
  receive(blocks: ReceivedBlocks, from: PeerKey): void {
    const { pieceIndex, generation, first, end } = blocks
    const piece = this.#pieces.get(pieceIndex)
    if (piece?.place.generation !== generation) return
    piece.contributors.add(from)
    for (let block = first; block < end; block++) {
      this.#pool.slab.table.markReceived(piece.place, block) // by a lane before; now it may die
      if (this.#picker.receive(pieceIndex, block) === 'complete') this.#complete(pieceIndex, piece)
    }
  }

  #complete(pieceIndex: number, piece: PieceInSlot): void {
    this.#events.onComplete(pieceIndex)
    const check = this.#check(pieceIndex, piece).finally(() => this.#checks.delete(check))
    this.#checks.add(check)
  }

  async #check(pieceIndex: number, piece: PieceInSlot): Promise<void> {
    const sizeBytes = pieceSizeBytes(this.#metainfo, pieceIndex)
    try {
      const verdict = await this.#pool.checkPiece(pieceIndex, piece.place.slot, sizeBytes)
      if (verdict === 'ok') this.#picker.finish(pieceIndex)
      else this.#picker.fail(pieceIndex)
      this.#release(pieceIndex)
      if (this.#isClosed) return
      if (verdict === 'ok') {
        this.#events.onGood(piece.contributors)
        this.#events.onWritten(pieceIndex)
      } else {
        this.#events.onBad(pieceIndex, piece.contributors)
      }
    } catch (error) {
      this.#release(pieceIndex)
      if (!this.#isClosed) this.#events.onFatal(error)
    }
  }

  /** False when the piece is just being written to. */
  #release(pieceIndex: number): boolean {
    const piece = this.#pieces.get(pieceIndex)
    if (piece === undefined) return true
    if (!this.#pool.slab.release(piece.place.slot)) return false
    return this.#pieces.delete(pieceIndex)
  }

  /** Waits for pieces at the workers, then gives all slots back. */
  async close(): Promise<void> {
    this.#isClosed = true
    await Promise.all(this.#checks)
    for (const pieceIndex of [...this.#pieces.keys()]) {
      while (!this.#release(pieceIndex)) await nextTurn()
    }
  }
}
