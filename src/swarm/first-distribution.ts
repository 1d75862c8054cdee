// Which pieces the image server shows to whom while the swarm is young: each piece to one peer first, so
// that each leaves the server once before any leaves it twice, and all have something to give to each
// other at once. Pure: no clock but the times handed in, no socket. Invariant: a piece is fresh (no peer
// has it or is to fetch it), on offer to exactly one unchoked peer, or spread; when nothing is fresh that a
// peer wants, it is shown all that it wants, so that nobody ever waits in vain. In the spirit of BEP 16.
import { Bitfield } from '../torrent/torrent.ts'
import { type PeerKey } from './begun-piece.ts'
import { type BlockRange } from './wire.ts'

export interface OfferedPeer {
  readonly key: PeerKey
  has(pieceIndex: number): boolean
}

export interface FirstDistributionOptions {
  readonly pieceCount: number
  readonly pieceSizeBytes: (pieceIndex: number) => number
  /** How many connected peers have the piece. */
  readonly copiesOf: (pieceIndex: number) => number
  /** Uniform in [0, 1). */
  readonly random: () => number
}

/** Pieces on offer to one unchoked peer that it has not asked for yet: it never has to wait for the next. */
const OPEN_OFFERS = 2

/** An unchoked peer that asks for nothing on offer for this long wants something else. */
const IDLE_MS = 10_000

type Spread = 'fresh' | 'offered' | 'spread'

interface Guest {
  readonly peer: OfferedPeer
  readonly shown: Bitfield
  /** Bytes asked for of each piece on offer to it and not yet had. */
  readonly offers: Map<number, number>
  /** undefined until it has told. */
  wanted: Bitfield | undefined
  /** Shown to it while it was choked. */
  bait: number | undefined
  isUnchoked: boolean
  /** Shown all that it wants: it is not steered any more. */
  isFree: boolean
  activeMs: number
}

export class FirstDistribution {
  readonly #options: FirstDistributionOptions
  readonly #guests = new Map<PeerKey, Guest>()
  readonly #states: Spread[]
  /** Fresh pieces in random order, among others that are not fresh any more. */
  #fresh: number[] = []

  constructor(options: FirstDistributionOptions) {
    this.#options = options
    this.#states = new Array<Spread>(options.pieceCount).fill('spread')
  }

  /** A peer has come. True: it is to be shown nothing but what `next` tells; false: everything. */
  add(peer: OfferedPeer, nowMs: number): boolean {
    if (this.#guests.size === 0) this.#restart()
    if (this.#isOver) return false
    this.#guests.set(peer.key, {
      ...{ peer, shown: new Bitfield(this.#options.pieceCount), offers: new Map() },
      ...{ wanted: undefined, bait: undefined, isUnchoked: false, isFree: false, activeMs: nowMs },
    })
    return true
  }

  /** The peer is gone; what it was to fetch is fresh again. */
  remove(key: PeerKey): void {
    const guest = this.#guests.get(key)
    if (guest === undefined) return
    this.#guests.delete(key)
    this.#takeBack(guest)
  }

  /** The peer told which pieces it is after; until then, or 10 s, it is shown nothing. */
  setWanted(key: PeerKey, wanted: Bitfield): void {
    const guest = this.#guests.get(key)
    if (guest === undefined) return
    guest.wanted = wanted
    guest.isFree = false
  }

  setUnchoked(key: PeerKey, isUnchoked: boolean, nowMs: number): void {
    const guest = this.#guests.get(key)
    if (guest === undefined) return
    guest.isUnchoked = isUnchoked
    guest.activeMs = nowMs
    if (!isUnchoked) this.#takeBack(guest)
    else if (guest.bait !== undefined && this.#isFresh(guest.bait)) this.#reserve(guest, guest.bait)
  }

  /** The peer asks for a range. */
  requested(key: PeerKey, range: BlockRange, nowMs: number): void {
    const guest = this.#guests.get(key)
    if (guest === undefined) return
    guest.activeMs = nowMs
    const askedBytes = guest.offers.get(range.pieceIndex)
    if (askedBytes !== undefined) guest.offers.set(range.pieceIndex, askedBytes + range.lengthBytes)
  }

  /** Pieces to show to the peer now; to be called after anything that happened with it, and regularly. */
  next(key: PeerKey, nowMs: number): readonly number[] {
    const guest = this.#guests.get(key)
    if (guest === undefined || guest.isFree) return []
    if (guest.wanted === undefined) {
      if (nowMs - guest.activeMs < IDLE_MS) return []
      guest.wanted = Bitfield.full(this.#options.pieceCount)
    }
    if (guest.isUnchoked && nowMs - guest.activeMs > IDLE_MS) {
      this.#takeBack(guest)
      return this.#free(guest)
    }
    if (this.#isOver) return this.#free(guest)
    return guest.isUnchoked ? this.#offer(guest) : this.#tempt(guest)
  }

  /** A choked peer is shown one piece that it wants, or it would never ask to be unchoked. */
  #tempt(guest: Guest): readonly number[] {
    const { bait, peer, wanted } = guest
    if (bait !== undefined && wanted?.has(bait) && !peer.has(bait)) return []
    // From anywhere: those that are unchoked at the same moment will ask for it at once.
    guest.bait = this.#findFresh(guest, Math.floor(this.#options.random() * this.#fresh.length))
    return guest.bait === undefined ? this.#free(guest) : show(guest, [guest.bait])
  }

  #offer(guest: Guest): readonly number[] {
    const pieces: number[] = []
    for (let open = this.#openOffers(guest); open < OPEN_OFFERS; open++) {
      const index = this.#findFresh(guest, 0)
      if (index === undefined) return open === 0 ? [...pieces, ...this.#free(guest)] : pieces
      this.#reserve(guest, index)
      pieces.push(index)
    }
    return show(guest, pieces)
  }

  #reserve(guest: Guest, index: number): void {
    this.#states[index] = 'offered'
    guest.offers.set(index, 0)
  }

  /** Counts what is on offer to the peer and not asked for whole; drops what it has by now. */
  #openOffers(guest: Guest): number {
    let open = 0
    for (const [index, askedBytes] of guest.offers) {
      if (guest.peer.has(index)) {
        guest.offers.delete(index)
        this.#states[index] = 'spread'
      } else if (askedBytes < this.#options.pieceSizeBytes(index)) {
        open++
      }
    }
    return open
  }

  /** Shows all that the peer wants. */
  #free(guest: Guest): readonly number[] {
    guest.isFree = true
    const { wanted, peer } = guest
    return show(
      guest,
      wanted === undefined ? [] : [...wanted.indexes()].filter((i) => !peer.has(i)),
    )
  }

  #takeBack(guest: Guest): void {
    for (const index of guest.offers.keys()) {
      const isSpread = this.#options.copiesOf(index) > 0
      this.#states[index] = isSpread ? 'spread' : 'fresh'
      if (!isSpread) this.#fresh.push(index)
    }
    guest.offers.clear()
  }

  get #isOver(): boolean {
    this.#dropStale()
    return this.#fresh.length === 0
  }

  /** Pieces at the end that are fresh no more: on offer, or some peer brought them. */
  #dropStale(): void {
    for (let last = this.#fresh.at(-1); last !== undefined; last = this.#fresh.at(-1)) {
      if (this.#isFresh(last)) return
      this.#fresh.pop()
    }
  }

  #isFresh(index: number): boolean {
    return this.#states[index] === 'fresh' && this.#options.copiesOf(index) === 0
  }

  /** A fresh piece that the peer wants, looked for from the end but for the last `skip`. */
  #findFresh(guest: Guest, skip: number): number | undefined {
    this.#dropStale()
    const count = this.#fresh.length
    for (let step = 0; step < count; step++) {
      const index = this.#fresh[(2 * count - 1 - skip - step) % count] ?? 0
      if (this.#isFresh(index) && guest.wanted?.has(index)) return index
    }
    return undefined
  }

  /** The first peer of a new swarm: what no connected peer has is fresh. */
  #restart(): void {
    this.#fresh = []
    const { pieceCount, copiesOf, random } = this.#options
    for (let index = 0; index < pieceCount; index++) {
      const isFresh = copiesOf(index) === 0
      this.#states[index] = isFresh ? 'fresh' : 'spread'
      if (!isFresh) continue
      const at = Math.floor(random() * (this.#fresh.length + 1))
      this.#fresh.push(this.#fresh[at] ?? index)
      this.#fresh[at] = index
    }
  }
}

/** Notes the pieces as shown and returns those that were not. */
function show(guest: Guest, pieces: readonly number[]): readonly number[] {
  return pieces.filter((index) => guest.shown.set(index))
}
