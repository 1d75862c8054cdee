// One torrent in the swarm: its pieces, its peers, its announces. Invariant: all state changes happen on
// this thread, in the order of events; files are read by the thread pool and written by the piece
// workers only. A piece is announced to others only after a worker has written it. States: STATE.md.
import { SiError, type Clock } from '../core/core.ts'
import { type TokenBucket } from '../throttle/throttle.ts'
import { Bitfield, pieceSizeBytes } from '../torrent/torrent.ts'
import { parseEndpoint, type Connection } from './connection/connection.ts'
import { Discovery } from './discovery/discovery.ts'
import { Downloader } from './downloader.ts'
import { type Role } from './wire/extension.ts'
import { FirstDistribution } from './first-distribution.ts'
import { type Handshake } from './wire/handshake.ts'
import { type LocalDiscovery } from './discovery/local-discovery.ts'
import { PeerSet } from './peer-set.ts'
import { type PeerTorrent } from './peer-torrent.ts'
import { type Peer } from './peer.ts'
import { type PeerKey } from './begun-piece.ts'
import { pacePicks } from './paced-picker.ts'
import { paceReads } from './pieces/paced-store.ts'
import { Picker } from './picker.ts'
import { PieceWaiters } from './piece-waiters.ts'
import { type Surroundings } from './surroundings.ts'
import { type PiecePool } from './pieces/piece-pool.ts'
import { type RequestPicker } from './requester.ts'
import { type AddTorrent, type Torrent, type TorrentStats } from './torrent-handle.ts'
import { Traffic } from './traffic.ts'
import { type UploadBuffers } from './pieces/upload-buffers.ts'
import { accuseSenders, clearSender, type Court } from './pieces/verdict.ts'
import { type WebSeed } from './web-seed/web-seed.ts'
import { WebSeeds } from './web-seed/web-seeds.ts'

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
  readonly localDiscovery: LocalDiscovery | undefined
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
  /** The same, behind the download limit if there is one. */
  readonly #requestPicker: RequestPicker
  readonly #downloader: Downloader | null
  readonly #peers: PeerSet
  readonly #webSeeds: WebSeeds | undefined
  readonly #discovery: Discovery
  readonly #waiters = new PieceWaiters()
  readonly #listeners = new Set<(pieceIndex: number) => void>()
  readonly #stopListening: () => void
  readonly #traffic: Traffic
  readonly #closing = new AbortController()
  #leftBytes: number
  #badPieces = 0
  #hasFailed = false
  #willFill = false
  #willChoke = false
  #cancelTick: () => void = () => {}
  #closed: Promise<void> | undefined

  constructor(options: AddTorrent, context: SessionContext) {
    const { metainfo, pool } = options
    const { downloadLimit } = context
    this.#options = options
    this.#context = context
    this.#have = options.have.clone()
    this.#wanted = new Bitfield(metainfo.pieceCount)
    this.#leftBytes = metainfo.lengthBytes
    for (const index of this.#have.indexes()) this.#leftBytes -= pieceSizeBytes(metainfo, index)
    this.#picker = new Picker({ metainfo, random: context.random })
    this.#requestPicker =
      downloadLimit === undefined
        ? this.#picker
        : pacePicks(this.#picker, downloadLimit, () => this.#fillSoon())
    this.#downloader = pool === null ? null : this.#createDownloader(pool)
    this.#stopListening = pool?.slab.onRelease(() => this.#fillSoon()) ?? (() => {})
    this.#traffic = new Traffic(context.clock)
    this.#peers = this.#createPeerSet()
    this.#peers.addEndpoints((options.peers ?? []).map(parseEndpoint), { isStatic: true })
    this.#webSeeds = this.#createWebSeeds(options.webSeeds ?? [])
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
    return {
      ...this.#traffic.figures,
      piecesHave: this.#have.count,
      piecesWanted: this.#picker.unfinishedCount,
      badPieces: this.#badPieces,
      peers: [...this.#sources()].map(({ stats }) => stats),
      trackerStatus: this.#discovery.trackerStatus,
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
    this.#webSeeds?.close()
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
        for (const source of this.#sources()) source.dropPiece(index)
      },
      onWritten: (index) => this.#onWritten(index),
      onGood: (contributors) => clearSender(contributors, this.#court()),
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
      onRefused: surroundings.onRefused,
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

  #createWebSeeds(urls: readonly string[]): WebSeeds | undefined {
    const downloader = this.#downloader
    if (downloader === null || urls.length === 0) return undefined
    const { clock, random, onNote } = this.#context
    return new WebSeeds(urls, {
      ...{ metainfo: this.#options.metainfo, picker: this.#requestPicker, downloader },
      ...{ clock, random, onNote },
      peerCount: () => this.#sourceCount,
      canDownload: () => this.#canDownload,
      onDownloaded: (payload) => this.#traffic.received(payload, true),
      onGone: () => this.#fillSoon(),
    })
  }

  /** Whom pieces can be asked of. */
  *#sources(): Generator<Peer | WebSeed> {
    yield* this.#peers
    yield* this.#webSeeds ?? []
  }

  get #sourceCount(): number {
    return this.#peers.size + (this.#webSeeds?.size ?? 0)
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
    const peerCount = () => this.#sourceCount
    const canDownload = () => this.#canDownload
    return {
      ...{ metainfo, store, role, listenPort, clock, uploadBuffers },
      ...{ have: this.#have, picker: this.#picker, downloader: this.#downloader },
      ...{ requestPicker: this.#requestPicker, wanted: this.#wanted },
      distribution: this.#createDistribution(),
      get peerCount() {
        return peerCount()
      },
      get canDownload() {
        return canDownload()
      },
      onDownloaded: (peer, payload) => this.#traffic.received(payload, peer.isServer),
      onUploaded: (_peer, bytes) => this.#traffic.sent(bytes),
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
      facts: () => {
        const { uploadedBytes, downloadedBytes } = this.#traffic.figures
        const peersWanted = this.#closed === undefined ? PEERS_PER_ANNOUNCE : 0
        const leftBytes = this.#leftBytes
        return { port: listenPort, uploadedBytes, downloadedBytes, leftBytes, peersWanted }
      },
    })
  }

  #tick(): void {
    this.#cancelTick = this.#context.clock.schedule(TICK_MS, () => this.#tick())
    this.#peers.tick()
    for (const seed of this.#webSeeds ?? []) seed.tick()
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

  /** Who stands behind a key, and how to be rid of it. */
  #court(): Court {
    return {
      senderOf: (key) => this.#peers.get(key) ?? this.#webSeeds?.get(key),
      ban: (key) => {
        this.#peers.ban(key)
        this.#webSeeds?.ban(key)
      },
      onNote: this.#context.onNote,
    }
  }

  #onBad(index: number, contributors: ReadonlySet<PeerKey>): void {
    this.#badPieces++
    for (const peer of this.#peers) peer.updateInterest()
    accuseSenders(index, contributors, this.#court())
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
    for (const source of this.#sources()) source.fill()
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
