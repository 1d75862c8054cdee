// Which pieces the image server shows to whom while the swarm is young: each piece to one peer first, so
// that each leaves the server once before any leaves it twice, and all have something to give to each
// other at once. Pure: no clock but the times handed in, no socket. Invariant: a piece is fresh (no peer
// has it or is to fetch it), on offer to one unchoked peer, or spread; a peer for which nothing is fresh is
// shown what is spread, and what is on offer for too long, so that nobody waits in vain. After BEP 16.
import { Bitfield } from '../torrent/torrent.ts'
import { type PeerKey } from './begun-piece.ts'
import { type BlockRange } from './wire/wire.ts'

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

/** Pieces on offer to one unchoked peer that it has not asked for whole: it never has to wait for the next. */
const OPEN_OFFERS = 1

/** An unchoked peer that asks for nothing on offer for this long is of no help. */
const IDLE_MS = 10_000

/**
 * Who fetches a piece for so much longer than it takes as a rule, or than 10 s, keeps it from the others no
 * more. On a slow link shared by many a large piece rightly takes a minute.
 */
const STALE_FACTOR = 3
const LEAST_STALE_MS = 10_000

interface Guest {
  readonly peer: OfferedPeer
  readonly shown: Bitfield
  /** Bytes asked for of each piece on offer to it and not yet had. */
  readonly offers: Map<number, number>
  /** undefined until it has told. */
  wanted: Bitfield | undefined
  /** What it wants and was not shown; undefined while there is something fresh for it. */
  rest: readonly number[] | undefined
  isUnchoked: boolean
  /** Unchoked, and asks for nothing. */
  isIdle: boolean
  activeMs: number
}

export class FirstDistribution {
  readonly #options: FirstDistributionOptions
  readonly #guests = new Map<PeerKey, Guest>()
  /** Pieces that no peer had when the swarm began, in random order; those at the end are fresh. */
  #fresh: number[] = []
  readonly #isFreshPiece: Uint8Array
  /** When each piece was offered that is on offer now. */
  readonly #offeredMs = new Map<number, number>()
  /** From the offer to the HAVE, smoothed. */
  #settleMs = 0

  constructor(options: FirstDistributionOptions) {
    this.#options = options
    this.#isFreshPiece = new Uint8Array(options.pieceCount)
  }

  /** A peer has come. True: it is to be shown nothing but what `next` tells; false: everything. */
  add(peer: OfferedPeer, nowMs: number): boolean {
    if (this.#guests.size === 0) this.#restart()
    this.#dropStale()
    if (this.#fresh.length === 0 && this.#offeredMs.size === 0) return false
    this.#guests.set(peer.key, {
      ...{ peer, shown: new Bitfield(this.#options.pieceCount), offers: new Map() },
      ...{ wanted: undefined, rest: undefined },
      ...{ isUnchoked: false, isIdle: false, activeMs: nowMs },
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
    guest.rest = undefined
  }

  setUnchoked(key: PeerKey, isUnchoked: boolean, nowMs: number): void {
    const guest = this.#guests.get(key)
    if (guest === undefined) return
    guest.isUnchoked = isUnchoked
    guest.activeMs = nowMs
    if (!isUnchoked) this.#takeBack(guest, ([, askedBytes]) => askedBytes === 0)
  }

  /** The peer asks for a range. */
  requested(key: PeerKey, range: BlockRange, nowMs: number): void {
    const guest = this.#guests.get(key)
    if (guest === undefined) return
    guest.activeMs = nowMs
    guest.isIdle = false
    const askedBytes = guest.offers.get(range.pieceIndex)
    if (askedBytes !== undefined) guest.offers.set(range.pieceIndex, askedBytes + range.lengthBytes)
  }

  /** Pieces to show to the peer now; to be called after anything that happened with it, and regularly. */
  next(key: PeerKey, nowMs: number): readonly number[] {
    const guest = this.#guests.get(key)
    if (guest === undefined) return []
    const openOffers = this.#openOffers(guest, nowMs)
    const isIdle = nowMs - guest.activeMs > IDLE_MS
    if (guest.wanted === undefined) {
      if (!isIdle) return []
      guest.wanted = Bitfield.full(this.#options.pieceCount)
    }
    if (guest.isUnchoked && isIdle && !guest.isIdle) {
      guest.isIdle = true
      this.#takeBack(guest)
    }
    if (guest.isIdle) return this.#showRest(guest, nowMs)
    if (guest.isUnchoked) return this.#offer(guest, openOffers, nowMs)
    return this.#findFresh(guest) === undefined ? this.#showRest(guest, nowMs) : []
  }

  /** There is something fresh for the peer, which does not know: it may be unchoked without asking. */
  hasFresh(key: PeerKey): boolean {
    const guest = this.#guests.get(key)
    return guest !== undefined && !guest.isIdle && this.#findFresh(guest) !== undefined
  }

  #offer(guest: Guest, openOffers: number, nowMs: number): readonly number[] {
    const pieces: number[] = []
    for (let open = openOffers; open < OPEN_OFFERS; open++) {
      const index = this.#findFresh(guest)
      // While something is on its way, the uplink is not spent on what others can give.
      if (index === undefined && guest.offers.size === 0) return this.#showRest(guest, nowMs)
      if (index === undefined) break
      this.#reserve(guest, index, nowMs)
      pieces.push(index)
    }
    return show(guest, pieces)
  }

  #reserve(guest: Guest, index: number, nowMs: number): void {
    this.#isFreshPiece[index] = 0
    this.#offeredMs.set(index, nowMs)
    guest.offers.set(index, 0)
  }

  /** Counts what is on offer to the peer and not asked for whole; drops what it has by now. */
  #openOffers(guest: Guest, nowMs: number): number {
    let open = 0
    for (const [index, askedBytes] of guest.offers) {
      if (guest.peer.has(index)) {
        guest.offers.delete(index)
        this.#settle(index, nowMs)
      } else if (askedBytes < this.#options.pieceSizeBytes(index)) {
        open++
      }
    }
    return open
  }

  #settle(index: number, nowMs: number): void {
    const tookMs = nowMs - (this.#offeredMs.get(index) ?? nowMs)
    this.#settleMs += (tookMs - this.#settleMs) / 8
    this.#offeredMs.delete(index)
  }

  /** Shows all that the peer wants, but for what is on its way to another. */
  #showRest(guest: Guest, nowMs: number): readonly number[] {
    const { peer, shown, wanted } = guest
    const rest = guest.rest ?? [...(wanted?.indexes() ?? [])]
    const staleMs = Math.max(LEAST_STALE_MS, STALE_FACTOR * this.#settleMs)
    const isHidden = (index: number) =>
      nowMs - (this.#offeredMs.get(index) ?? -Infinity) < staleMs &&
      this.#options.copiesOf(index) === 0
    const unseen = rest.filter((index) => !shown.has(index) && !peer.has(index))
    guest.rest = unseen.filter(isHidden)
    return show(
      guest,
      unseen.filter((index) => !isHidden(index)),
    )
  }

  /** What is on offer to the peer becomes fresh again; by default all of it. */
  #takeBack(guest: Guest, isMeant: (offer: readonly [number, number]) => boolean = () => true) {
    for (const [index, askedBytes] of guest.offers) {
      if (!isMeant([index, askedBytes])) continue
      guest.offers.delete(index)
      this.#offeredMs.delete(index)
      if (this.#options.copiesOf(index) > 0) continue
      this.#isFreshPiece[index] = 1
      this.#fresh.push(index)
    }
  }

  /** Pieces at the end that are fresh no more: on offer, or some peer brought them. */
  #dropStale(): void {
    for (let last = this.#fresh.at(-1); last !== undefined; last = this.#fresh.at(-1)) {
      if (this.#isFresh(last)) return
      this.#fresh.pop()
    }
  }

  #isFresh(index: number): boolean {
    return this.#isFreshPiece[index] === 1 && this.#options.copiesOf(index) === 0
  }

  /** A fresh piece that the peer wants, looked for from the end. */
  #findFresh(guest: Guest): number | undefined {
    this.#dropStale()
    const count = this.#fresh.length
    for (let step = 0; step < count; step++) {
      const index = this.#fresh[count - 1 - step] ?? 0
      if (this.#isFresh(index) && guest.wanted?.has(index)) return index
    }
    return undefined
  }

  /** The first peer of a new swarm: what no connected peer has is fresh. */
  #restart(): void {
    this.#fresh = []
    this.#offeredMs.clear()
    const { pieceCount, copiesOf, random } = this.#options
    for (let index = 0; index < pieceCount; index++) {
      const isFresh = copiesOf(index) === 0
      this.#isFreshPiece[index] = Number(isFresh)
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
