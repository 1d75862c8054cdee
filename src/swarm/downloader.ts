// The pieces being downloaded: their slots, what arrives into them, and what the workers say of them.
// Invariant: a begun piece owns one slot until its worker has answered or it is given up, and bytes
// are copied only into blocks that are not received yet. Who sent wrong bytes is found here.
import { BLOCK_BYTES, pieceSizeBytes, type Metainfo } from '../torrent/torrent.ts'
import { type PeerKey } from './begun-piece.ts'
import { type Picker } from './picker.ts'
import { type PiecePool } from './piece-pool.ts'
import { type BlockRange } from './wire.ts'

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
  readonly slot: number
  readonly bytes: Uint8Array
  readonly contributors: Set<PeerKey>
}

/** How far a piece message has been taken in. */
export interface Incoming {
  readonly range: BlockRange
  readonly from: PeerKey
  doneBytes: number
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

  get hasFreeSlot(): boolean {
    return this.#pool.slab.freeSlots > 0
  }

  /** Finds a slot for a piece just begun; to be called only while one is free. */
  begin(pieceIndex: number): void {
    const slot = this.#pool.slab.acquire()
    if (slot === undefined) return this.#picker.abandon(pieceIndex)
    const bytes = this.#pool.slab.view(slot)
    this.#pieces.set(pieceIndex, { slot, bytes, contributors: new Set() })
  }

  /** Gives up a piece whose peers are all gone, to free its slot for one that can be had. */
  abandonStalled(): boolean {
    const index = this.#picker.stalledPiece()
    if (index === undefined) return false
    this.#picker.abandon(index)
    this.#release(index)
    return true
  }

  /** Takes in the next bytes of a piece message; returns how many of them were of use. */
  take(incoming: Incoming, fragment: Uint8Array): number {
    const start = incoming.range.offsetBytes + incoming.doneBytes
    incoming.doneBytes += fragment.length
    const piece = this.#pieces.get(incoming.range.pieceIndex)
    if (piece === undefined) return 0
    return this.#copy(incoming, piece, { start, fragment })
  }

  /** Block by block, since an end game may have brought some of them already. */
  #copy(
    incoming: Incoming,
    piece: PieceInSlot,
    data: { readonly start: number; readonly fragment: Uint8Array },
  ): number {
    const { pieceIndex } = incoming.range
    const end = data.start + data.fragment.length
    const rangeEnd = incoming.range.offsetBytes + incoming.range.lengthBytes
    const firstBlock = Math.floor(data.start / BLOCK_BYTES)
    let runStart = data.start
    let usedBytes = 0
    const flush = (upTo: number) => {
      if (upTo <= runStart) return
      const part = data.fragment.subarray(runStart - data.start, upTo - data.start)
      piece.bytes.set(part, runStart)
      piece.contributors.add(incoming.from)
      usedBytes += part.length
    }
    for (let block = firstBlock; block * BLOCK_BYTES < end; block++) {
      if (!this.#picker.isReceived(pieceIndex, block)) continue
      flush(Math.min(end, block * BLOCK_BYTES))
      runStart = Math.min(end, (block + 1) * BLOCK_BYTES)
    }
    flush(end)
    for (let block = firstBlock; block * BLOCK_BYTES < end; block++) {
      const blockEnd = Math.min((block + 1) * BLOCK_BYTES, rangeEnd)
      if (blockEnd > end || block * BLOCK_BYTES < incoming.range.offsetBytes) continue
      if (this.#picker.receive(pieceIndex, block) === 'complete') this.#complete(pieceIndex, piece)
    }
    return usedBytes
  }

  #complete(pieceIndex: number, piece: PieceInSlot): void {
    this.#events.onComplete(pieceIndex)
    const check = this.#check(pieceIndex, piece).finally(() => this.#checks.delete(check))
    this.#checks.add(check)
  }

  async #check(pieceIndex: number, piece: PieceInSlot): Promise<void> {
    const sizeBytes = pieceSizeBytes(this.#metainfo, pieceIndex)
    try {
      const verdict = await this.#pool.checkPiece(pieceIndex, piece.slot, sizeBytes)
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

  #release(pieceIndex: number): void {
    const piece = this.#pieces.get(pieceIndex)
    if (piece === undefined) return
    this.#pieces.delete(pieceIndex)
    this.#pool.slab.release(piece.slot)
  }

  /** Waits for pieces at the workers, then gives all slots back. */
  async close(): Promise<void> {
    this.#isClosed = true
    await Promise.all(this.#checks)
    for (const pieceIndex of [...this.#pieces.keys()]) this.#release(pieceIndex)
  }
}
