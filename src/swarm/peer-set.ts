// The connections of one torrent: dialling, accepting, refusing, choking. A peer is known by its id
// together with its address: ids are told to everybody, so one alone must neither displace a peer nor
// get it banned. Invariant: at most one connection to each peer, none to ourselves, none to a banned
// peer, never more than `maxPeers` that came to us.
import { SiError, type Clock } from '../core/core.ts'
import { Candidates, type AddOptions, type Ending, type Endpoint } from './discovery/candidates.ts'
import { chooseUnchoked } from './choker.ts'
import { formatEndpoint, type Connection } from './connection/connection.ts'
import { type Role } from './wire/extension.ts'
import { type Handshake } from './wire/handshake.ts'
import { type PeerTorrent } from './peer-torrent.ts'
import { Peer } from './peer.ts'
import { type PeerKey } from './begun-piece.ts'
import { type Surroundings } from './surroundings.ts'

export interface PeerSetOptions {
  readonly torrent: PeerTorrent
  /** What we say in our handshake. */
  readonly handshake: Handshake
  readonly maxPeers: number
  readonly clock: Clock
  readonly random: () => number
  readonly dial: Surroundings['dial']
  /** A connection that we made ended before the other side had greeted. */
  readonly onRefused: (address: string, error: Error) => void
  /** False: nothing is wanted; with four connections or more, only static peers are dialled. */
  readonly needsPeers: () => boolean
}

/** Neighbours a node looks for by itself; more may come to it. */
const DIALLED_PEERS = 12

/** Neighbours of our own choice, however many come to us: who comes may be of no use, or worse. */
const CHOSEN_PEERS = 4

/** Peers of one address that sent wrong bytes, until nobody from there is trusted any more. */
const MAX_LIARS_PER_HOST = 8

const MAX_DIALS_AT_ONCE = 8

const HANDSHAKE_TIMEOUT_MS = 5000

/** A connection that ends sooner than this counts as a failed attempt. */
const SHORT_LIFE_MS = 5000

/** A second connection from the same side replaces the first if that was silent for so long. */
const STALE_MS = 15_000

/**
 * Peers served at once. Nodes serve all their neighbours: a node that is choked while its links are idle is
 * late. The server's pieces shall soon be whole, but with fewer peers at once its link is not always busy,
 * as they fetch from each other as well.
 */
const PLACES: Readonly<Record<Role, number>> = { server: 12, node: 32 }

/**
 * The server begins with so few: nobody has anything else to fetch, and the first pieces make the swarm.
 * One more comes with every two pieces that have reached anybody, so that they do not all come at once.
 */
const FIRST_PLACES = 4
const PIECES_PER_PLACE = 2

/** Turns end by events, but for those that are not used. */
const CHOKE_ROUND_MS = 1000

interface Member {
  readonly peer: Peer
  readonly sinceMs: number
  /** Where it can be reached, as far as we know. */
  address: string | undefined
  listenPort: number | undefined
  ending: Ending | undefined
}

interface Dial {
  readonly connection: Connection
  readonly address: string
  readonly port: number
  readonly sinceMs: number
}

export class PeerSet {
  readonly #options: PeerSetOptions
  readonly #candidates: Candidates
  readonly #members = new Map<PeerKey, Member>()
  readonly #dials = new Set<Dial>()
  readonly #banned = new Set<string>()
  readonly #liarsByHost = new Map<string, number>()
  readonly #releases = new Set<Promise<void>>()
  #nextKey = 1
  #nextChokeMs = 0
  #isClosed = false

  constructor(options: PeerSetOptions) {
    this.#options = options
    this.#candidates = new Candidates(options.random)
  }

  get size(): number {
    return this.#members.size
  }

  *[Symbol.iterator](): Generator<Peer, void, void> {
    for (const { peer } of this.#members.values()) yield peer
  }

  get(key: PeerKey): Peer | undefined {
    return this.#members.get(key)?.peer
  }

  /** Connected peers, and where others reach them, as far as we know. */
  *members(): Generator<{ readonly peer: Peer; readonly listens: Endpoint | undefined }> {
    for (const { peer, listenPort: port } of this.#members.values()) {
      const host = peer.connection.remoteHost
      yield { peer, listens: port === undefined ? undefined : { host, port } }
    }
  }

  /** Learns where peers may be; how many of them are news. */
  addEndpoints(endpoints: readonly Endpoint[], options: AddOptions): number {
    const news = endpoints.filter((endpoint) => this.#candidates.add(endpoint, options)).length
    if (news > 0) this.#dial(this.#options.clock.monotonicMs())
    return news
  }

  /** An incoming connection asked for this torrent; closes it when it is not welcome. */
  accept(connection: Connection, handshake: Handshake): void {
    if (this.#isClosed || !this.#isWelcome(connection, handshake)) return connection.close()
    if (!this.#makeRoom(connection.remoteHost)) return connection.close()
    connection.sendHandshake(this.#options.handshake)
    this.#admit(connection, handshake)
  }

  /** A peer told on which port it listens: others connect to it there, and so may we later. */
  learnAddress(peer: Peer, port: number): void {
    const member = this.#members.get(peer.key)
    if (member === undefined || peer.connection.isOutgoing) return
    const { remoteHost } = peer.connection
    member.address = formatEndpoint(remoteHost, port)
    member.listenPort = port
    this.#candidates.add({ host: remoteHost, port }, { isStatic: false, teller: remoteHost })
    this.#candidates.answered(member.address, identityOf(peer.connection, peer.peerId))
  }

  /** Closes the connection for good: this peer sends wrong bytes. */
  ban(key: PeerKey): void {
    const member = this.#members.get(key)
    if (member === undefined) return
    const { connection, peerId } = member.peer
    const host = connection.remoteHost
    this.#banned.add(identityOf(connection, peerId))
    this.#liarsByHost.set(host, (this.#liarsByHost.get(host) ?? 0) + 1)
    this.#end(member, 'banned', new SiError('ERR_SI_PROTOCOL', 'Peer sent wrong bytes'))
  }

  /** To be called a few times a second. */
  tick(): void {
    const { clock, torrent, needsPeers } = this.#options
    const nowMs = clock.monotonicMs()
    for (const dial of this.#dials) {
      if (nowMs - dial.sinceMs > HANDSHAKE_TIMEOUT_MS) dial.connection.close()
    }
    for (const member of this.#members.values()) {
      const { peer } = member
      peer.tick()
      if (torrent.have.isComplete && peer.pieces.isComplete && !needsPeers()) {
        this.#end(member, 'useless')
      }
    }
    if (nowMs >= this.#nextChokeMs) this.choke()
    this.#dial(nowMs)
  }

  /** Decides anew who is unchoked. */
  choke(): void {
    const { clock, random } = this.#options
    const nowMs = clock.monotonicMs()
    this.#nextChokeMs = nowMs + CHOKE_ROUND_MS
    const unchoked = chooseUnchoked([...this], { places: this.#places, nowMs, random })
    for (const peer of this) peer.setUnchoked(unchoked.has(peer.key))
  }

  get #places(): number {
    const { role, metainfo, picker } = this.#options.torrent
    let places = role === 'server' ? FIRST_PLACES : PLACES[role]
    for (let index = 0; index < metainfo.pieceCount && places < PLACES[role]; index++) {
      if (picker.availabilityOf(index) > 0) places += 1 / PIECES_PER_PLACE
    }
    return Math.floor(places)
  }

  /** Closes all connections; resolves when none of them is reading any more. */
  async close(): Promise<void> {
    this.#isClosed = true
    for (const dial of this.#dials) dial.connection.close()
    for (const member of [...this.#members.values()]) this.#end(member, 'lost')
    await Promise.all(this.#releases)
  }

  #dial(nowMs: number): void {
    const { maxPeers, needsPeers } = this.#options
    if (this.#isClosed) return
    const chosen = [...this].filter(({ connection }) => connection.isOutgoing).length
    const isLonely = this.#members.size < CHOSEN_PEERS
    // Who wants nothing, but has few to give to, looks for some: they may not hear of us for long.
    const isGiving = !needsPeers()
    const goal = isGiving && isLonely ? CHOSEN_PEERS : DIALLED_PEERS
    const wished = Math.max(
      Math.min(maxPeers, goal) - this.#members.size,
      Math.min(maxPeers, CHOSEN_PEERS) - chosen,
    )
    const count = Math.min(wished, MAX_DIALS_AT_ONCE) - this.#dials.size
    const endpoints = this.#candidates.take(nowMs, count, {
      onlyStatic: isGiving && !isLonely,
      isConnected: (identity) => this.#find(identity) !== undefined,
    })
    for (const endpoint of endpoints) this.#connect(endpoint, nowMs)
  }

  #connect(endpoint: Endpoint, nowMs: number): void {
    const { clock, handshake, dial: open } = this.#options
    const connection = open(
      endpoint,
      {
        onHandshake: (theirs) => {
          this.#dials.delete(dial)
          this.#greeted(dial, theirs)
        },
        onClose: (error) => {
          this.#dials.delete(dial)
          this.#candidates.ended(dial.address, 'failed', clock.monotonicMs())
          if (error !== undefined) this.#options.onRefused(address, error)
        },
      },
      { clock, onConnect: () => connection.sendHandshake(handshake) },
    )
    const address = formatEndpoint(endpoint.host, endpoint.port)
    const dial: Dial = { connection, address, port: endpoint.port, sinceMs: nowMs }
    this.#dials.add(dial)
  }

  /** A peer that we connected to has answered. */
  #greeted(dial: Dial, theirs: Handshake): void {
    const { connection, address } = dial
    this.#candidates.answered(address, identityOf(connection, theirs.peerId))
    if (theirs.infoHash !== this.#options.handshake.infoHash || this.#isClosed) {
      return connection.close()
    }
    if (!this.#isWelcome(connection, theirs)) {
      const isBarred = this.#isBarred(connection, theirs.peerId)
      connection.setOwner({
        onHandshake: () => {},
        onClose: () => {
          const ending = isBarred ? 'banned' : 'lost'
          this.#candidates.ended(address, ending, this.#options.clock.monotonicMs())
        },
      })
      return connection.close()
    }
    this.#admit(connection, theirs, dial)
  }

  #isBarred(connection: Connection, peerId: string): boolean {
    const liars = this.#liarsByHost.get(connection.remoteHost) ?? 0
    return (
      peerId === this.#options.handshake.peerId ||
      this.#banned.has(identityOf(connection, peerId)) ||
      liars >= MAX_LIARS_PER_HOST
    )
  }

  /** Neither ourselves nor banned nor here already; may close the older of two connections. */
  #isWelcome(connection: Connection, theirs: Handshake): boolean {
    if (this.#isBarred(connection, theirs.peerId)) return false
    const existing = this.#find(identityOf(connection, theirs.peerId))
    if (existing === undefined) return true
    if (!this.#isPreferred(connection, existing.peer)) return false
    this.#end(existing, 'lost')
    return true
  }

  /** Both sides decide alike: of two crossing connections the one that the greater id made stays. */
  #isPreferred(connection: Connection, existing: Peer): boolean {
    if (connection.isOutgoing === existing.connection.isOutgoing) {
      return existing.connection.silentMs > STALE_MS
    }
    const isOursGreater = this.#options.handshake.peerId > existing.peerId
    return connection.isOutgoing === isOursGreater
  }

  #find(identity: string): Member | undefined {
    for (const member of this.#members.values()) {
      if (identityOf(member.peer.connection, member.peer.peerId) === identity) return member
    }
    return undefined
  }

  /** When all places are taken, the host with the most gives one up to a host that has fewer. */
  #makeRoom(host: string): boolean {
    if (this.#members.size < this.#options.maxPeers) return true
    const byHost = Map.groupBy(this.#members.values(), ({ peer }) => peer.connection.remoteHost)
    const greediest = [...byHost.values()].reduce((a, b) => (b.length > a.length ? b : a), [])
    const newest = greediest.at(-1)
    const ownPlaces = byHost.get(host)?.length ?? 0
    if (newest === undefined || greediest.length <= ownPlaces + 1) return false
    this.#end(newest, 'lost')
    return true
  }

  #admit(connection: Connection, handshake: Handshake, dial?: Dial): void {
    const key = this.#nextKey++
    connection.setOwner({
      onHandshake: () => {},
      onClose: (error) => {
        const member = this.#members.get(key)
        if (member !== undefined) this.#remove(member, error)
      },
    })
    const peer = new Peer(this.#options.torrent, { key, connection, handshake })
    const sinceMs = this.#options.clock.monotonicMs()
    const place = { address: dial?.address, listenPort: dial?.port }
    this.#members.set(key, { peer, sinceMs, ...place, ending: undefined })
  }

  /** Closes a connection and forgets its peer at once. */
  #end(member: Member, ending: Ending, error?: Error): void {
    member.ending = ending
    member.peer.connection.close(error)
    this.#remove(member, error)
  }

  #remove(member: Member, error: Error | undefined): void {
    const { peer, address } = member
    if (!this.#members.delete(peer.key)) return
    const nowMs = this.#options.clock.monotonicMs()
    const isShort = nowMs - member.sinceMs < SHORT_LIFE_MS
    const ending = member.ending ?? (error instanceof SiError || isShort ? 'failed' : 'lost')
    if (address !== undefined) this.#candidates.ended(address, ending, nowMs)
    const release = peer.release().finally(() => this.#releases.delete(release))
    this.#releases.add(release)
    if (this.#isClosed) return
    if (peer.isInterested) this.#options.torrent.onInterestChanged()
    this.#options.torrent.onPeerGone()
  }
}

/** Whom a connection leads to. */
function identityOf(connection: Connection, peerId: string): string {
  return `${peerId}@${connection.remoteHost}`
}
