// One remote peer of one torrent: what it has, who chokes whom, its requests and ours. Invariant: what a
// peer says is believed only as far as it can do no harm; whatever breaks the protocol throws
// ERR_SI_PROTOCOL, which closes this connection and nothing else. States: STATE.md. Spec: BEP 3, 6, 10.
import { Bitfield, BLOCK_BYTES } from '../torrent/torrent.ts'
import { type Connection } from './connection/connection.ts'
import {
  decodeExtensionHandshake,
  encodeExtensionHandshake,
  OWN_PEER_EXCHANGE_ID,
  OWN_WANT_ID,
  type ExtensionHandshake,
} from './wire/extension.ts'
import { clientOfId, isOwnPeerId, type Handshake } from './wire/handshake.ts'
import { type PayloadCount, type PeerSink, type ReceivedBlocks } from './connection/intake.ts'
import { type PeerTorrent } from './peer-torrent.ts'
import { type PeerKey, type PickingPeer } from './begun-piece.ts'
import { Requester } from './requester.ts'
import { MAX_OWN_REQUEST_BYTES, protocolFault, REQUEST_QUEUE, Serving } from './serving.ts'
import { type PeerStats } from './torrent-handle.ts'
import { type Turn } from './turn.ts'
import { type BlockRange, type WireMessage } from './wire/wire.ts'

/** A peer that sends this much nobody asked for is cut off. */
const MAX_UNASKED_BYTES = 64 * 2 ** 20

const KEEP_ALIVE_MS = 60_000

/** A live peer sends a keep-alive every two minutes. */
const SILENCE_MS = 150_000

export class Peer implements PickingPeer, PeerSink {
  readonly key: PeerKey
  readonly connection: Connection
  readonly peerId: string
  readonly pieces: Bitfield
  isOnParole = false
  downloadedBytes = 0
  uploadedBytes = 0
  readonly #torrent: PeerTorrent
  readonly #supportsFast: boolean
  readonly #serving: Serving
  readonly #requester: Requester | undefined
  #extension: ExtensionHandshake | undefined
  #isChokingUs = true
  #isInterested = false
  #isInteresting = false
  #unaskedBytes = 0

  constructor(
    torrent: PeerTorrent,
    link: { readonly key: PeerKey; readonly connection: Connection; readonly handshake: Handshake },
  ) {
    const { metainfo, clock, requestPicker, downloader } = torrent
    this.#torrent = torrent
    this.key = link.key
    this.connection = link.connection
    this.peerId = link.handshake.peerId
    this.#supportsFast = link.handshake.supportsFast
    this.pieces = new Bitfield(metainfo.pieceCount)
    this.#serving = new Serving({
      ...{ peer: this, torrent, connection: link.connection, supportsFast: this.#supportsFast },
      isSteerable: isOwnPeerId(link.handshake.peerId),
      onSent: (bytes) => {
        this.uploadedBytes += bytes
        torrent.onUploaded(this, bytes)
      },
    })
    this.#requester =
      downloader === null
        ? undefined
        : new Requester({
            ...{ peer: this, picker: requestPicker, downloader, clock },
            pieceLengthBytes: metainfo.pieceLengthBytes,
            request: (range) =>
              this.connection.request(range, downloader.placeOf(range.pieceIndex)),
            cancel: (range) => this.connection.send({ type: 'cancel', range }),
          })
    this.#start(link.handshake)
  }

  #start(handshake: Handshake): void {
    const { metainfo, role, listenPort, distribution } = this.#torrent
    const maxPayloadBytes = Math.max(BLOCK_BYTES, metainfo.pieceLengthBytes)
    const maxControlBytes = Math.max(64 * 1024, 1 + Math.ceil(metainfo.pieceCount / 8))
    const slab = this.#torrent.downloader?.slab
    this.connection.startMessages(this, { maxPayloadBytes, maxControlBytes, slab })
    if (handshake.supportsExtensions) {
      const payload = encodeExtensionHandshake({
        ...{ client: 'SwarmImager 0.1', requestQueue: REQUEST_QUEUE, listenPort },
        peerExchangeId: this.#torrent.exchangesPeers ? OWN_PEER_EXCHANGE_ID : 0,
        own: {
          role,
          maxRequestBytes: Math.min(MAX_OWN_REQUEST_BYTES, metainfo.pieceLengthBytes),
          wantId: distribution === undefined ? undefined : OWN_WANT_ID,
        },
      })
      this.connection.send({ type: 'extended', id: 0, payload })
    }
    this.#serving.begin()
  }

  has(pieceIndex: number): boolean {
    return this.pieces.has(pieceIndex)
  }

  get address(): string {
    return this.connection.address
  }

  get isServer(): boolean {
    return this.#extension?.own?.role === 'server'
  }

  get isComplete(): boolean {
    return this.pieces.isComplete
  }

  /** Number of the peer exchange's messages that it takes; 0 when it takes none. */
  get peerExchangeId(): number {
    return this.#torrent.exchangesPeers ? (this.#extension?.peerExchangeId ?? 0) : 0
  }

  get client(): string {
    return this.#extension?.client || clientOfId(this.peerId)
  }

  /** It wants something from us, told of or not. */
  get isInterested(): boolean {
    return this.#isInterested || this.#serving.isAwaited
  }

  get turn(): Turn {
    return this.#serving.turn
  }

  /** We let it have something. */
  get isUnchoked(): boolean {
    return this.#serving.isUnchoked
  }

  get isChokingUs(): boolean {
    return this.#isChokingUs
  }

  get downloadBytesPerSecond(): number {
    return this.#requester?.bytesPerSecond ?? 0
  }

  get uploadBytesPerSecond(): number {
    return this.#serving.bytesPerSecond
  }

  get stats(): PeerStats {
    const { address, client, isServer, isUnchoked, isChokingUs } = this
    const { downloadedBytes, uploadedBytes, downloadBytesPerSecond, uploadBytesPerSecond } = this
    return {
      ...{ address, client, isServer, isUnchoked, isChokingUs, downloadedBytes, uploadedBytes },
      ...{ downloadBytesPerSecond, uploadBytesPerSecond },
    }
  }

  onMessage(message: WireMessage): void {
    switch (message.type) {
      case 'keep-alive':
      case 'suggest':
      case 'allowed-fast':
      case 'port':
        return
      case 'choke':
        this.#isChokingUs = true
        // With BEP 6 each request is refused or served; without, choking means that all are forgotten.
        this.#requester?.choked({ forgetsRequests: !this.#supportsFast })
        return
      case 'unchoke':
        this.#isChokingUs = false
        return this.fill()
      case 'interested':
      case 'not-interested':
        this.#isInterested = message.type === 'interested'
        return this.#torrent.onInterestChanged()
      case 'have':
        return this.#onHave(message.pieceIndex)
      case 'bitfield':
        return this.#onPieces(new Bitfield(this.pieces.length, message.bytes))
      case 'have-all':
        return this.#onPieces(Bitfield.full(this.pieces.length))
      case 'have-none':
        return this.#onPieces(new Bitfield(this.pieces.length))
      case 'request':
        return this.#serving.request(message.range, this.#extension?.own !== undefined)
      case 'cancel':
        return this.#serving.cancel(message.range)
      case 'reject':
        return this.#onReject(message.range)
      case 'extended':
        return this.#onExtended(message.id, message.payload)
      default:
        return message satisfies never
    }
  }

  #onExtended(id: number, payload: Uint8Array): void {
    if (id === 0) return this.#onExtension(payload)
    if (id === OWN_WANT_ID) this.#serving.setWanted(new Bitfield(this.pieces.length, payload))
    const { exchangesPeers } = this.#torrent
    if (id === OWN_PEER_EXCHANGE_ID && exchangesPeers) this.#torrent.onPeerExchange(this, payload)
  }

  #onExtension(payload: Uint8Array): void {
    const isFirst = this.#extension === undefined
    this.#extension = decodeExtensionHandshake(payload)
    const { listenPort } = this.#extension
    this.tellWanted()
    // Once only, or one peer could fill our list of candidates.
    if (isFirst && listenPort > 0) this.#torrent.onPeerListens(this, listenPort)
  }

  #onHave(pieceIndex: number): void {
    if (pieceIndex >= this.pieces.length) {
      throw protocolFault(`it has piece ${pieceIndex} of ${this.pieces.length}`)
    }
    if (!this.pieces.set(pieceIndex)) return
    const { picker } = this.#torrent
    picker.addAvailability(pieceIndex)
    this.#serving.offer()
    const state = picker.stateOf(pieceIndex)
    if (state !== 'missing' && state !== 'begun') return
    this.#setInteresting(true)
    this.fill()
  }

  /** Refused although it does not choke us: it has not got the piece, whatever it said before. */
  #onReject(range: BlockRange): void {
    const wasAsked = this.#requester?.rejected(range) ?? false
    if (wasAsked && !this.#isChokingUs && this.pieces.clear(range.pieceIndex)) {
      this.#torrent.picker.removeAvailability(range.pieceIndex)
    }
    this.fill()
  }

  /** Some clients, aria2 for one, send a bitfield again in place of many HAVE messages. */
  #onPieces(pieces: Bitfield): void {
    for (const index of pieces.indexes()) {
      if (this.pieces.set(index)) this.#torrent.picker.addAvailability(index)
    }
    this.#serving.offer()
    this.updateInterest()
    this.fill()
  }

  /** Tells an image server of ours which pieces we are after, so that it can share out the rest. */
  tellWanted(): void {
    const { wanted } = this.#torrent
    const id = this.#extension?.own?.wantId
    if (id === undefined || wanted.count === 0) return
    this.connection.send({ type: 'extended', id, payload: wanted.bytes })
  }

  /** Tells the peer whether it has anything for us, when that has changed. */
  updateInterest(): void {
    const { picker, canDownload } = this.#torrent
    this.#setInteresting(canDownload && picker.isInteresting(this))
  }

  #setInteresting(isInteresting: boolean): void {
    if (isInteresting === this.#isInteresting || this.connection.isClosed) return
    if (isInteresting && !this.#torrent.canDownload) return
    this.#isInteresting = isInteresting
    this.connection.send({ type: isInteresting ? 'interested' : 'not-interested' })
  }

  /** Asks for as much as this peer should be owing us now. */
  fill(): void {
    if (this.#isChokingUs || !this.#isInteresting || this.connection.isClosed) return
    if (!this.#torrent.canDownload) return
    const maxRequestBytes = this.#extension?.own?.maxRequestBytes ?? BLOCK_BYTES
    this.#requester?.fill({
      maxRequestBytes: Math.min(maxRequestBytes, this.#torrent.metainfo.pieceLengthBytes),
      requestQueue: this.#extension?.requestQueue ?? REQUEST_QUEUE / 2,
      peerCount: this.#torrent.peerCount,
    })
  }

  onPayloadBegin(range: BlockRange, isExpected: boolean): void {
    if (isExpected) return this.#requester?.beginPayload(range)
    this.#unaskedBytes += range.lengthBytes
    if (this.#unaskedBytes > MAX_UNASKED_BYTES) {
      throw protocolFault('it sends what nobody asked for')
    }
  }

  onBlocks(blocks: ReceivedBlocks): void {
    this.#torrent.downloader?.receive(blocks, this.key)
  }

  onPayload(payload: PayloadCount): void {
    this.#requester?.takePayload(payload.bytes)
    this.downloadedBytes += payload.bytes
    this.#torrent.onDownloaded(this, payload)
  }

  onPayloadEnd(): void {
    this.#requester?.endPayload()
  }

  onDrained(): void {
    this.fill()
  }

  /** A piece is complete: what this peer owes of it is not needed. */
  dropPiece(pieceIndex: number): void {
    this.#requester?.dropPiece(pieceIndex)
  }

  /** Lets the peer have pieces, or no longer. */
  setUnchoked(isUnchoked: boolean): void {
    this.#serving.setUnchoked(isUnchoked)
  }

  /** Announces a piece that we can serve from now on; also to those that have it, who may count. */
  tellHave(pieceIndex: number): void {
    this.connection.send({ type: 'have', pieceIndex })
  }

  /** To be called now and then: keep-alives, silence, the end of our interest. */
  tick(): void {
    // Interest begins with what the peer tells or we want, both at once; only its end is noticed here.
    if (this.#isInteresting) this.updateInterest()
    this.#serving.offer()
    const isUseful = this.#requester?.checkProgress(this.#torrent.peerCount > 1) ?? true
    if (this.connection.silentMs > SILENCE_MS || !isUseful) {
      this.connection.close(protocolFault('it does not answer'))
    } else if (this.connection.unsentMs > KEEP_ALIVE_MS) {
      this.connection.send({ type: 'keep-alive' })
    }
  }

  /** The connection is gone: everything owed goes elsewhere. Resolves when no read is under way. */
  async release(): Promise<void> {
    const { picker } = this.#torrent
    this.#requester?.giveBackAll()
    picker.forget(this.key)
    for (const index of this.pieces.indexes()) picker.removeAvailability(index)
    await this.#serving.close()
  }
}
