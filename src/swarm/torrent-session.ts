// One torrent in the swarm: its pieces, its peers, its announces. Invariant: all state changes happen on
// this thread, in the order of events; files are read by the thread pool and written by the piece
// workers only. A piece is announced to others only after a worker has written it. States: STATE.md.
import { SiError, type Clock } from '../core/core.ts'
import { type TokenBucket } from '../throttle/throttle.ts'
import { Bitfield, pieceSizeBytes } from '../torrent/torrent.ts'
import { parseEndpoint, type Connection } from './connection.ts'
import { Discovery } from './discovery.ts'
import { Downloader } from './downloader.ts'
import { type Role } from './extension.ts'
import { FirstDistribution } from './first-distribution.ts'
import { type Handshake } from './handshake.ts'
import { type LocalDiscovery } from './local-discovery.ts'
import { PeerSet } from './peer-set.ts'
import { type PeerTorrent } from './peer-torrent.ts'
import { type PeerKey } from './begun-piece.ts'
import { pacePicks } from './paced-picker.ts'
import { paceReads } from './paced-store.ts'
import { Picker } from './picker.ts'
import { PieceWaiters } from './piece-waiters.ts'
import { type Surroundings } from './surroundings.ts'
import { type PiecePool } from './piece-pool.ts'
import { RateMeter } from './pipeline.ts'
import { type RequestPicker } from './requester.ts'
import { type AddTorrent, type Torrent, type TorrentStats } from './torrent-handle.ts'
import { type UploadBuffers } from './upload-buffers.ts'

/** What the swarm gives to each of its torrents. */
export interface SessionContext {
  readonly role: Role
  readonly peerId: string
  readonly listenPort: number
  readonly announceAddress: string | undefined
  readonly rack: string | undefined
  readonly maxPeers: number
  readonly clock: Clock
  readonly random: () => number
  readonly surroundings: Surroundings
  /** undefined: switched off. */
  readonly localDiscovery?: LocalDiscovery | undefined
  readonly uploadBuffers: UploadBuffers
  /** undefined: as fast as it goes. */
  readonly uploadLimit: TokenBucket | undefined
  readonly downloadLimit: TokenBucket | undefined
  readonly onNote: (text: string) => void
  readonly onClosed: () => void
}

const TICK_MS = 250

/** Fewer neighbours than this are too few while something is wanted: the tracker is asked again. */
const FEW_PEERS = 4

const PEERS_PER_ANNOUNCE = 50

export class TorrentSession implements Torrent {
  readonly #options: AddTorrent
  readonly #context: SessionContext
  readonly #have: Bitfield
  readonly #wanted: Bitfield
  readonly #picker: Picker
  readonly #downloader: Downloader | null
  readonly #peers: PeerSet
  readonly #discovery: Discovery
  readonly #waiters = new PieceWaiters()
  readonly #listeners = new Set<(pieceIndex: number) => void>()
  readonly #stopListening: () => void
  readonly #downloadMeter: RateMeter
  readonly #uploadMeter: RateMeter
  readonly #counters = { down: 0, up: 0, fromServer: 0, fromPeers: 0, wasted: 0, bad: 0 }
  readonly #closing = new AbortController()
  #leftBytes: number
  #hasFailed = false
  #willFill = false
  #willChoke = false
  #cancelTick: () => void = () => {}
  #closed: Promise<void> | undefined

  constructor(options: AddTorrent, context: SessionContext) {
    const { metainfo, pool } = options
    this.#options = options
    this.#context = context
    this.#have = options.have.clone()
    this.#wanted = new Bitfield(metainfo.pieceCount)
    this.#leftBytes = metainfo.lengthBytes
    for (const index of this.#have.indexes()) this.#leftBytes -= pieceSizeBytes(metainfo, index)
    this.#picker = new Picker({ metainfo, random: context.random })
    this.#downloader = pool === null ? null : this.#createDownloader(pool)
    this.#stopListening = pool?.slab.onRelease(() => this.#fillSoon()) ?? (() => {})
    this.#downloadMeter = new RateMeter(context.clock.monotonicMs())
    this.#uploadMeter = new RateMeter(context.clock.monotonicMs())
    this.#peers = this.#createPeerSet()
    this.#peers.addEndpoints((options.peers ?? []).map(parseEndpoint), { isStatic: true })
    this.#discovery = this.#createDiscovery()
    this.#tick()
  }

  /** An incoming connection asked for this torrent. */
  accept(connection: Connection, handshake: Handshake): void {
    this.#peers.accept(connection, handshake)
  }

  want(pieces: Iterable<number>): void {
    if (this.#downloader === null) {
      throw new SiError('ERR_SI_INTERNAL', 'A torrent without a piece pool cannot download')
    }
    for (const index of pieces) {
      this.#picker.want(index)
      this.#wanted.set(index)
    }
    for (const peer of this.#peers) {
      peer.tellWanted()
      peer.updateInterest()
    }
    this.#fillSoon()
  }

  received(pieces: Iterable<number>, signal?: AbortSignal): Promise<void> {
    return this.#waiters.wait(pieces, (index) => this.#picker.stateOf(index) === 'done', signal)
  }

  onPiece(listener: (pieceIndex: number) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  stats(): TorrentStats {
    const { clock } = this.#context
    const counters = this.#counters
    return {
      downloadedBytes: counters.down,
      uploadedBytes: counters.up,
      fromServerBytes: counters.fromServer,
      fromPeersBytes: counters.fromPeers,
      wastedBytes: counters.wasted,
      piecesHave: this.#have.count,
      piecesWanted: this.#picker.unfinishedCount,
      badPieces: counters.bad,
      peers: [...this.#peers].map((peer) => ({
        address: peer.connection.address,
        client: peer.client,
        isServer: peer.isServer,
        isUnchoked: peer.isUnchoked,
        isChokingUs: peer.isChokingUs,
        downloadedBytes: peer.downloadedBytes,
        uploadedBytes: peer.uploadedBytes,
        downloadBytesPerSecond: peer.downloadBytesPerSecond,
        uploadBytesPerSecond: peer.uploadBytesPerSecond,
      })),
      trackerStatus: this.#discovery.trackerStatus,
      downloadBytesPerSecond: this.#downloadMeter.bytesPerSecond(clock.monotonicMs()),
      uploadBytesPerSecond: this.#uploadMeter.bytesPerSecond(clock.monotonicMs()),
    }
  }

  close(): Promise<void> {
    this.#closed ??= this.#shutDown()
    return this.#closed
  }

  async #shutDown(): Promise<void> {
    this.#closing.abort()
    this.#cancelTick()
    this.#stopListening()
    this.#waiters.fail(new SiError('ERR_SI_ABORTED', 'The torrent was closed'))
    await Promise.all([this.#peers.close(), this.#downloader?.close(), this.#discovery.close()])
    this.#context.onClosed()
  }

  get #canDownload(): boolean {
    return this.#downloader !== null && !this.#hasFailed && this.#closed === undefined
  }

  #createDownloader(pool: PiecePool): Downloader {
    const parts = { metainfo: this.#options.metainfo, picker: this.#picker, pool }
    return new Downloader(parts, {
      onComplete: (index) => {
        for (const peer of this.#peers) peer.dropPiece(index)
      },
      onWritten: (index) => this.#onWritten(index),
      onGood: (contributors) => this.#onGood(contributors),
      onBad: (index, contributors) => this.#onBad(index, contributors),
      onFatal: (error) => {
        this.#hasFailed = true
        this.#waiters.fail(error)
      },
    })
  }

  #createPeerSet(): PeerSet {
    const { clock, random, maxPeers, peerId, surroundings } = this.#context
    const { infoHash } = this.#options.metainfo
    return new PeerSet({
      torrent: this.#peerTorrent(),
      handshake: { infoHash, peerId, supportsFast: true, supportsExtensions: true },
      needsPeers: () => this.#picker.unfinishedCount > 0 && this.#canDownload,
      ...{ maxPeers, clock, random, dial: surroundings.dial },
    })
  }

  /** Only who has all of it from the start, and is there to give it, steers. */
  #createDistribution(): FirstDistribution | undefined {
    const { role, random } = this.#context
    const { metainfo, have } = this.#options
    if (role !== 'server' || !have.isComplete) return undefined
    return new FirstDistribution({
      pieceCount: metainfo.pieceCount,
      pieceSizeBytes: (index) => pieceSizeBytes(metainfo, index),
      copiesOf: (index) => this.#picker.availabilityOf(index),
      random,
    })
  }

  #requestPicker(): RequestPicker {
    const { downloadLimit } = this.#context
    if (downloadLimit === undefined) return this.#picker
    return pacePicks(this.#picker, downloadLimit, () => this.#fillSoon())
  }

  /** This torrent as its peers see it. */
  #peerTorrent(): PeerTorrent {
    const { metainfo } = this.#options
    const { role, listenPort, clock, uploadBuffers, uploadLimit, onNote } = this.#context
    const { signal } = this.#closing
    const store =
      uploadLimit === undefined
        ? this.#options.store
        : paceReads(this.#options.store, uploadLimit, signal)
    const peerCount = () => this.#peers.size
    const canDownload = () => this.#canDownload
    return {
      ...{ metainfo, store, role, listenPort, clock, uploadBuffers },
      ...{ have: this.#have, picker: this.#picker, downloader: this.#downloader },
      ...{ requestPicker: this.#requestPicker(), wanted: this.#wanted },
      distribution: this.#createDistribution(),
      get peerCount() {
        return peerCount()
      },
      get canDownload() {
        return canDownload()
      },
      onDownloaded: (peer, { bytes, usedBytes, wastedBytes }) => {
        this.#counters.down += bytes
        this.#counters.wasted += wastedBytes
        if (peer.isServer) this.#counters.fromServer += usedBytes
        else this.#counters.fromPeers += usedBytes
        this.#downloadMeter.add(usedBytes, clock.monotonicMs())
      },
      onUploaded: (_peer, bytes) => {
        this.#counters.up += bytes
        this.#uploadMeter.add(bytes, clock.monotonicMs())
      },
      onInterestChanged: () => this.#chokeSoon(),
      onPeerGone: () => this.#fillSoon(),
      exchangesPeers: !metainfo.isPrivate,
      onPeerExchange: (peer, payload) => this.#discovery.onPeerExchange(peer, payload),
      onPeerListens: (peer, port) => this.#peers.learnAddress(peer, port),
      onReadError: (error, range) => {
        onNote(`Cannot read piece ${range.pieceIndex} for a peer: ${String(error)}`)
      },
    }
  }

  #createDiscovery(): Discovery {
    const { peerId, announceAddress, rack, clock, random, listenPort, surroundings } = this.#context
    const { metainfo, trackers } = this.#options
    const { localDiscovery } = this.#context
    return new Discovery({
      localDiscovery,
      ...{ metainfo, trackers, peers: this.#peers, clock, random, surroundings },
      identity: { peerId, address: announceAddress, rack },
      facts: () => ({
        port: listenPort,
        uploadedBytes: this.#counters.up,
        downloadedBytes: this.#counters.down,
        leftBytes: this.#leftBytes,
        peersWanted: this.#closed === undefined ? PEERS_PER_ANNOUNCE : 0,
      }),
    })
  }

  #tick(): void {
    this.#cancelTick = this.#context.clock.schedule(TICK_MS, () => this.#tick())
    this.#peers.tick()
    this.#fill()
    this.#discovery.tick(this.#peers.size < FEW_PEERS && this.#picker.unfinishedCount > 0)
  }

  #onWritten(index: number): void {
    if (this.#have.set(index)) {
      this.#leftBytes -= pieceSizeBytes(this.#options.metainfo, index)
      for (const peer of this.#peers) peer.tellHave(index)
      if (this.#have.isComplete) this.#discovery.completed()
    }
    for (const listener of this.#listeners) listener(index)
    this.#waiters.done(index)
  }

  #onGood(contributors: ReadonlySet<PeerKey>): void {
    // A suspect fetches alone: if it is the only contributor, it has told the truth this time.
    const [key] = contributors
    const peer = key === undefined ? undefined : this.#peers.get(key)
    if (contributors.size === 1 && peer !== undefined) peer.isOnParole = false
  }

  #onBad(index: number, contributors: ReadonlySet<PeerKey>): void {
    this.#counters.bad++
    for (const peer of this.#peers) peer.updateInterest()
    const { onNote } = this.#context
    const [key] = contributors
    if (contributors.size === 1 && key !== undefined) {
      const address = this.#peers.get(key)?.connection.address ?? 'a peer that is gone'
      onNote(`Piece ${index} from ${address} was wrong; that peer is dropped`)
      this.#peers.ban(key)
      return
    }
    onNote(`Piece ${index} was wrong; the ${contributors.size} peers that sent it are watched`)
    for (const contributor of contributors) {
      const peer = this.#peers.get(contributor)
      if (peer !== undefined) peer.isOnParole = true
    }
  }

  /** Gives every peer work; several reasons at once cost one round. */
  #fillSoon(): void {
    if (this.#willFill || !this.#canDownload) return
    this.#willFill = true
    this.#context.surroundings.soon(() => this.#fill())
  }

  #fill(): void {
    this.#willFill = false
    if (!this.#canDownload) return
    for (const peer of this.#peers) peer.fill()
  }

  #chokeSoon(): void {
    if (this.#willChoke || this.#closed !== undefined) return
    this.#willChoke = true
    this.#context.surroundings.soon(() => {
      this.#willChoke = false
      if (this.#closed === undefined) this.#peers.choke()
    })
  }
}
