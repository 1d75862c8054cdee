// What we have asked one peer for, and what comes of it. Invariant: every range asked for is exactly
// once in `#asked` until it is received, refused, timed out or the peer is gone; what was reserved is
// then given back to the picker, once. It may still arrive later and is then used if it is needed.
import { type Clock } from '../core/core.ts'
import { type Downloader } from './downloader.ts'
import { planPipeline, RateMeter } from './pipeline.ts'
import { blocksOf, type PickingPeer } from './begun-piece.ts'
import { type Picker } from './picker.ts'
import { isSameRange, type BlockRange } from './wire/wire.ts'

/** No payload for this long while some is owed: others are asked for it. */
const SNUB_MS = 4000

/** No payload for this long: the peer is of no use. */
const USELESS_MS = 45_000

/** A request that takes longer than this is given to others as well, if there are any. */
const SLOW_MS = 10_000

/** A peer that was slow is asked for more than one block again when it answers as fast as this. */
const BRISK_MS = 2000

/** Requests in a row that it refuses, or forgets by choking us, while no payload comes: several queues full. */
const MAX_REFUSALS = 2000

/** New requests go out, several in one write, when this part of the pipeline has drained. */
const REFILL_BELOW = 0.75

/** What is asked of the picker; a rate limit stands between as one more of the same kind. */
export type RequestPicker = Pick<
  Picker,
  'pick' | 'pickAgain' | 'canBegin' | 'giveBack' | 'forget' | 'unaskedBytes'
>

export interface RequesterOptions {
  readonly peer: PickingPeer
  readonly picker: RequestPicker
  readonly downloader: Downloader
  readonly clock: Clock
  readonly pieceLengthBytes: number
  readonly request: (range: BlockRange) => void
  readonly cancel: (range: BlockRange) => void
}

/** What the peer told about itself, and how many share the work. */
export interface RequestLimits {
  readonly maxRequestBytes: number
  readonly requestQueue: number
  readonly peerCount: number
}

interface Asked extends BlockRange {
  readonly sentMs: number
  /** False for a probe of a slow peer: others may be asked for the same all the time. */
  readonly isReserved: boolean
}

export class Requester {
  readonly #options: RequesterOptions
  readonly #asked: Asked[] = []
  readonly #meter: RateMeter
  #askedBytes = 0
  #incoming: BlockRange | undefined
  #incomingIsAsked = false
  #lastPayloadMs: number
  #isSnubbed = false
  #isSlow = false
  #refusals = 0

  constructor(options: RequesterOptions) {
    this.#options = options
    this.#lastPayloadMs = options.clock.monotonicMs()
    this.#meter = new RateMeter(this.#lastPayloadMs)
  }

  get bytesPerSecond(): number {
    return this.#meter.bytesPerSecond(this.#options.clock.monotonicMs())
  }

  /** Silent or slow lately: asked for one block at a time, which does not keep others from it. */
  get #isProbed(): boolean {
    return this.#isSnubbed || this.#isSlow
  }

  /** Asks for as much as is due. To be called only while the peer does not choke us. */
  fill(limits: RequestLimits): void {
    const { picker, downloader, peer } = this.#options
    const plan = planPipeline({
      ...limits,
      bytesPerSecond: this.bytesPerSecond,
      pieceLengthBytes: this.#options.pieceLengthBytes,
      isSnubbed: this.#isProbed,
      unaskedBytes: picker.unaskedBytes,
    })
    if (this.#asked.length > 0 && this.#askedBytes >= plan.targetBytes * REFILL_BELOW) return
    while (this.#askedBytes < plan.targetBytes && this.#asked.length < limits.requestQueue) {
      const range = picker.pick(peer, plan.rangeBytes, downloader.hasFreeSlot)
      if (range?.isFirst) downloader.begin(range.pieceIndex)
      if (range !== undefined) this.#ask(range)
      else if (this.#asked.length > 0 || !this.#findMore(plan.rangeBytes)) break
    }
  }

  /** For an idle peer: asks again for what others owe, or makes room for what this peer has. */
  #findMore(rangeBytes: number): boolean {
    const { picker, downloader, peer } = this.#options
    const again = picker.pickAgain(peer, rangeBytes, (piece, block) => this.#isAsked(piece, block))
    if (again !== undefined) {
      this.#ask(again)
      return true
    }
    return !downloader.hasFreeSlot && picker.canBegin(peer) && downloader.abandonStalled()
  }

  #isAsked(pieceIndex: number, block: number): boolean {
    return this.#asked.some((range) => {
      const { first, end } = blocksOf(range)
      return range.pieceIndex === pieceIndex && block >= first && block < end
    })
  }

  #ask(range: BlockRange): void {
    const { pieceIndex, offsetBytes, lengthBytes } = range
    const sentMs = this.#options.clock.monotonicMs()
    if (this.#asked.length === 0 && !this.#isSnubbed) this.#lastPayloadMs = sentMs
    const isReserved = !this.#isProbed
    this.#asked.push({ pieceIndex, offsetBytes, lengthBytes, sentMs, isReserved })
    if (!isReserved) this.#options.picker.giveBack(range)
    this.#askedBytes += lengthBytes
    this.#options.request(range)
  }

  /** A piece message begins that was asked for, now or before it was given back. */
  beginPayload(range: BlockRange): void {
    this.#incoming = range
    this.#incomingIsAsked = this.#asked.some((asked) => isSameRange(asked, range))
  }

  /** Payload has come. */
  takePayload(bytes: number): void {
    const nowMs = this.#options.clock.monotonicMs()
    this.#meter.add(bytes, nowMs)
    if (this.#incoming === undefined) return
    this.#lastPayloadMs = nowMs
    this.#isSnubbed = false
    this.#refusals = 0
    if (this.#incomingIsAsked) this.#askedBytes -= bytes
  }

  endPayload(): void {
    if (this.#incoming !== undefined && this.#incomingIsAsked) this.#settle(this.#incoming, 0)
    this.#incoming = undefined
  }

  /** The peer will not send this range (BEP 6); false when it was not asked for it. */
  rejected(range: BlockRange): boolean {
    this.#refusals++
    this.#options.picker.forget(this.#options.peer.key)
    return this.#settle(range, range.lengthBytes)
  }

  /** The peer chokes us; without BEP 6 that means that it forgets what it owes. */
  choked(options: { readonly forgetsRequests: boolean }): void {
    this.#isSnubbed = false
    this.#options.picker.forget(this.#options.peer.key)
    if (!options.forgetsRequests) return
    this.#refusals += this.#asked.length
    this.giveBackAll()
  }

  #settle(range: BlockRange, owedBytes: number): boolean {
    const at = this.#asked.findIndex((asked) => isSameRange(asked, range))
    const asked = this.#asked[at]
    if (asked === undefined) return false
    this.#asked.splice(at, 1)
    this.#askedBytes -= owedBytes
    if (this.#options.clock.monotonicMs() - asked.sentMs < BRISK_MS) this.#isSlow = false
    if (asked.isReserved) this.#options.picker.giveBack(range)
    return true
  }

  /** A piece is complete: what this peer still owes of it is cancelled. */
  dropPiece(pieceIndex: number): void {
    for (const range of this.#asked.filter((asked) => asked.pieceIndex === pieceIndex)) {
      if (this.#incoming !== undefined && isSameRange(this.#incoming, range)) continue
      this.#settle(range, range.lengthBytes)
      this.#options.cancel(range)
    }
  }

  /** All that is owed goes back to the picker: the peer chokes us, is silent, or gone. */
  giveBackAll(): void {
    for (const range of this.#asked.splice(0)) {
      if (range.isReserved) this.#options.picker.giveBack(range)
    }
    this.#askedBytes = 0
    this.#incomingIsAsked = false
    this.#options.picker.forget(this.#options.peer.key)
  }

  /**
   * To be called now and then; `hasOthers`: there are peers that could be asked instead. False when
   * the peer has been silent, or refusing, for so long that the connection should be closed.
   */
  checkProgress(hasOthers: boolean): boolean {
    if (this.#refusals > MAX_REFUSALS) return false
    if (this.#asked.length === 0 && !this.#isSnubbed) return true
    const nowMs = this.#options.clock.monotonicMs()
    const silentMs = nowMs - this.#lastPayloadMs
    if (silentMs > USELESS_MS) return false
    const oldestMs = nowMs - (this.#asked[0]?.sentMs ?? nowMs)
    if (silentMs >= SNUB_MS && !this.#isSnubbed) {
      this.#isSnubbed = true
      this.giveBackAll()
    } else if (oldestMs > SLOW_MS && hasOthers) {
      this.#isSlow = true
      this.giveBackAll()
    }
    return true
  }
}
