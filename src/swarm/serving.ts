// What we give to one peer: the pieces we show it, whether we choke it, its requests. Invariant: only
// what we have is sent, only to a peer that is unchoked, and what one peer asks for is bounded; each
// request is served, cancelled or (BEP 6) rejected, once. Spec: BEP 3, 6.
import { SiError } from '../core/core.ts'
import { pieceSizeBytes, type Bitfield } from '../torrent/torrent.ts'
import { type Connection } from './connection/connection.ts'
import { type OfferedPeer } from './first-distribution.ts'
import { type PeerTorrent } from './peer-torrent.ts'
import { RateMeter } from './pipeline.ts'
import { Turn } from './turn.ts'
import { Uploader } from './uploader.ts'
import { type BlockRange } from './wire/wire.ts'

/** Largest request served to a peer of ours. */
export const MAX_OWN_REQUEST_BYTES = 16 * 2 ** 20

/** Largest request served to others: clients exist that ask for more than the customary 16 KiB. */
const MAX_FOREIGN_REQUEST_BYTES = 128 * 1024

/** Requests that one peer may keep waiting; told to it in the extension handshake. */
export const REQUEST_QUEUE = 500

/** Requests refused in a row: several queues full. Each refusal is an answer that may stay unread. */
const MAX_REFUSED = 4 * REQUEST_QUEUE

/** Thousands may be due at once when the first distribution is over. */
const HAVES_PER_WRITE = 1000

export interface ServingOptions {
  readonly peer: OfferedPeer
  readonly torrent: PeerTorrent
  readonly connection: Connection
  readonly supportsFast: boolean
  /** It tells what it wants, so that the first distribution can be steered. */
  readonly isSteerable: boolean
  /** Payload that the kernel took. */
  readonly onSent: (bytes: number) => void
}

export class Serving {
  readonly turn: Turn
  readonly #options: ServingOptions
  readonly #uploader: Uploader
  readonly #meter: RateMeter
  #isUnchoked = false
  #refusedRequests = 0

  constructor(options: ServingOptions) {
    const { torrent, connection, onSent } = options
    const { clock, store, uploadBuffers: buffers } = torrent
    this.#options = options
    this.#meter = new RateMeter(clock.monotonicMs())
    this.turn = new Turn(torrent.metainfo.pieceLengthBytes)
    this.#uploader = new Uploader({
      ...{ connection, store, buffers },
      onSent: (bytes) => {
        this.#refusedRequests = 0
        this.#settled(bytes)
        this.#meter.add(bytes, clock.monotonicMs())
        onSent(bytes)
      },
      onReadError: (error, range) => {
        torrent.onReadError(error, range)
        connection.close()
      },
    })
  }

  /** We let the peer have something. */
  get isUnchoked(): boolean {
    return this.#isUnchoked
  }

  /** It may want something that it was not told of. */
  get isAwaited(): boolean {
    const { torrent, peer } = this.#options
    return torrent.distribution?.hasFresh(peer.key) ?? false
  }

  get bytesPerSecond(): number {
    return this.#meter.bytesPerSecond(this.#options.torrent.clock.monotonicMs())
  }

  /** Tells what we have, or nothing of it yet; the first message but for the extension handshake. */
  begin(): void {
    const { peer, torrent, connection, supportsFast, isSteerable } = this.#options
    const { have, distribution, clock } = torrent
    if (isSteerable && distribution?.add(peer, clock.monotonicMs())) {
      if (supportsFast) connection.send({ type: 'have-none' })
    } else if (supportsFast && have.isComplete) connection.send({ type: 'have-all' })
    else if (supportsFast && have.count === 0) connection.send({ type: 'have-none' })
    else if (have.count > 0) connection.send({ type: 'bitfield', bytes: have.bytes })
  }

  /** The peer told which pieces it is after. */
  setWanted(wanted: Bitfield): void {
    const { torrent, peer } = this.#options
    torrent.distribution?.setWanted(peer.key, wanted)
    torrent.onInterestChanged()
    this.offer()
  }

  /** Announces what is the peer's turn to fetch. To be called when it got something, and regularly. */
  offer(): void {
    const { peer, torrent, connection } = this.#options
    const pieces = torrent.distribution?.next(peer.key, torrent.clock.monotonicMs()) ?? []
    for (let at = 0; at < pieces.length; at += HAVES_PER_WRITE) {
      const part = pieces.slice(at, at + HAVES_PER_WRITE)
      connection.send(...part.map((pieceIndex) => ({ type: 'have', pieceIndex }) as const))
    }
  }

  /** Begins a turn, or the next if the last is over; or ends it: what was asked for is still sent. */
  setUnchoked(isUnchoked: boolean): void {
    const { peer, torrent, connection, supportsFast } = this.#options
    const nowMs = torrent.clock.monotonicMs()
    const isSame = isUnchoked === this.#isUnchoked
    if (connection.isClosed || (isSame && !(isUnchoked && this.turn.isOver(nowMs)))) return
    this.turn.change(nowMs)
    if (!isSame) {
      this.#isUnchoked = isUnchoked
      connection.send({ type: isUnchoked ? 'unchoke' : 'choke' })
      // Without BEP 6 a choked peer forgets what it asked for.
      const dropped = isUnchoked || supportsFast ? [] : this.#uploader.clear()
      for (const { lengthBytes } of dropped) this.#settled(lengthBytes)
      torrent.distribution?.setUnchoked(peer.key, isUnchoked, nowMs)
    }
    this.offer()
  }

  /** Sent, or not to be sent. */
  #settled(bytes: number): void {
    if (this.turn.settled(bytes) && !this.#isUnchoked) this.#options.torrent.onInterestChanged()
  }

  /** The peer asks for a range. Throws ERR_SI_PROTOCOL when no honest peer would. */
  request(range: BlockRange, isOwn: boolean): void {
    const { peer, torrent } = this.#options
    const { metainfo, have, distribution, clock } = torrent
    const nowMs = clock.monotonicMs()
    const mostBytes = isOwn ? MAX_OWN_REQUEST_BYTES : MAX_FOREIGN_REQUEST_BYTES
    const endBytes = range.offsetBytes + range.lengthBytes
    if (range.pieceIndex >= metainfo.pieceCount || range.lengthBytes === 0) {
      throw protocolFault('its request is no part of the torrent')
    }
    if (range.lengthBytes > mostBytes || endBytes > pieceSizeBytes(metainfo, range.pieceIndex)) {
      throw protocolFault(`its request of ${range.lengthBytes} bytes is too large`)
    }
    const isServed = this.#isUnchoked && have.has(range.pieceIndex)
    if (!isServed || this.#uploader.queuedRequests >= REQUEST_QUEUE) return this.#reject(range)
    this.#uploader.push(range)
    this.turn.asked(range.lengthBytes)
    distribution?.requested(peer.key, range, nowMs)
    // Whoever has had its turn is offered nothing more before it is clear that nobody waits.
    if (this.turn.isOver(nowMs)) torrent.onInterestChanged()
    else this.offer()
  }

  /** The peer takes a request back. */
  cancel(range: BlockRange): void {
    if (!this.#uploader.cancel(range)) return
    this.#settled(range.lengthBytes)
    this.#reject(range)
  }

  #reject(range: BlockRange): void {
    const { connection, supportsFast } = this.#options
    if (++this.#refusedRequests > MAX_REFUSED) {
      connection.close(protocolFault('it goes on asking for what it is refused'))
    }
    if (supportsFast) connection.send({ type: 'reject', range })
  }

  /** Resolves when no read is under way. */
  close(): Promise<void> {
    this.#options.torrent.distribution?.remove(this.#options.peer.key)
    return this.#uploader.close()
  }
}

export function protocolFault(what: string): SiError {
  return new SiError('ERR_SI_PROTOCOL', `Peer breaks the protocol: ${what}`)
}
