// One deployment in the simulation: an image server, N nodes, a tracker. Each machine runs the real
// TorrentSession; only sockets, disks, threads and time are made up. Invariant: the same options give
// the same result to the last bit.
import { MAX_PEERS, type Role, type Torrent } from '../../src/swarm/swarm.ts'
import { slabSlots } from '../../src/deploy/slab-slots.ts'
import { createPeerId } from '../../src/swarm/wire/handshake.ts'
import { TorrentSession } from '../../src/swarm/torrent-session.ts'
import { Bitfield, parseInfoHash, type Metainfo } from '../../src/torrent/torrent.ts'
import { swarmLimitSeconds } from '../lab/fluid-limit.ts'
import { createHollowBuffers, createHollowPool, createHollowStore } from './payload.ts'
import { createRandom } from './seeded-random.ts'
import { SIM_PORT, SimNetwork, type HostTraffic } from './sim-network.ts'
import { createSimTracker, type SimTracker } from './sim-tracker.ts'
import { VirtualTime } from './virtual-time.ts'

/** A machine that downloads. */
export interface SimNodeOptions {
  /** undefined: none. */
  readonly rack: string | undefined
  readonly upBytesPerSecond: number
  readonly downBytesPerSecond: number
  /** When it comes. */
  readonly startMs: number
}

export interface SimOptions {
  readonly seed: number
  readonly pieceCount: number
  readonly pieceLengthBytes: number
  readonly serverBytesPerSecond: number
  readonly nodes: readonly SimNodeOptions[]
  readonly latencyMs: number
  readonly fragmentBytes: number
  /** Rates of flows are found anew this often, at most; 0 is exact. */
  readonly settleMs: number
  /** A connection holds two of them: what is sent later waits behind. */
  readonly uploadBufferBytes: number
  /** From the last byte of a piece to its being written, and announced. */
  readonly checkMs: number
  /** Infinity: racks are never in the way. */
  readonly rackBytesPerSecond: number
  readonly announceIntervalMs: number
  /** When to give up, as a multiple of the fluid limit after the last node's coming. */
  readonly untilMultiple: number
}

export interface SimNode extends SimNodeOptions {
  readonly torrent: Torrent
  readonly traffic: HostTraffic
  /** undefined: not complete. */
  doneMs: number | undefined
}

const SERVER = 'server'

/** Which parts of a run draw from the same random numbers. */
const DRAW = { node: 1, tracker: 2 }

export class SimSwarm {
  readonly time = new VirtualTime()
  readonly options: SimOptions
  readonly network: SimNetwork
  readonly serverTraffic: HostTraffic
  /** In the order of their coming. */
  readonly nodes: SimNode[] = []
  /** How many nodes have each piece. */
  readonly copies: Uint32Array
  readonly #metainfo: Metainfo
  readonly #tracker: SimTracker
  #unfinished: number

  constructor(options: SimOptions) {
    const { time } = this
    const { latencyMs, serverBytesPerSecond } = options
    this.options = options
    this.network = new SimNetwork(time, options)
    this.copies = new Uint32Array(options.pieceCount)
    this.#metainfo = metainfoOf(options)
    this.#unfinished = options.nodes.length
    this.#tracker = createSimTracker({
      ...{ time, latencyMs, intervalMs: options.announceIntervalMs },
      random: createRandom(options.seed, DRAW.tracker),
      server: { host: SERVER, port: SIM_PORT },
    })
    this.serverTraffic = this.#addServer(serverBytesPerSecond)
    options.nodes.forEach((node, index) => {
      time.at(node.startMs, () => this.#addNode(node, index))
    })
  }

  get isComplete(): boolean {
    return this.#unfinished === 0
  }

  /** Lets time pass until all nodes are complete, or it is up. */
  async run(): Promise<void> {
    const lastStartMs = Math.max(...this.options.nodes.map(({ startMs }) => startMs))
    const untilMs = lastStartMs + this.options.untilMultiple * this.fluidSeconds * 1000
    await this.time.run(() => this.isComplete, untilMs)
  }

  /** Of the image. */
  get sizeBytes(): number {
    return this.options.pieceCount * this.options.pieceLengthBytes
  }

  /** The least time for the image to come to all nodes, and into every rack, by any protocol. */
  get fluidSeconds(): number {
    const { sizeBytes } = this
    const { serverBytesPerSecond, nodes } = this.options
    const hasRacks = nodes.some(({ rack }) => rack !== undefined)
    const intoRacks = hasRacks ? sizeBytes / this.options.rackBytesPerSecond : 0
    return Math.max(intoRacks, swarmLimitSeconds({ sizeBytes, serverBytesPerSecond, nodes }))
  }

  #addServer(bytesPerSecond: number): HostTraffic {
    const traffic = this.network.add({
      ...{ name: SERVER, rack: undefined },
      ...{ upBytesPerSecond: bytesPerSecond, downBytesPerSecond: bytesPerSecond },
      onPeer: (connection, handshake) => session.accept(connection, handshake),
    })
    const session = this.#join(SERVER, { role: 'server', rack: undefined, index: -1 })
    return traffic
  }

  #addNode(options: SimNodeOptions, index: number): void {
    const name = `n${index}`
    const { rack, upBytesPerSecond, downBytesPerSecond } = options
    const traffic = this.network.add({
      ...{ name, rack, upBytesPerSecond, downBytesPerSecond },
      onPeer: (connection, handshake) => torrent.accept(connection, handshake),
    })
    const torrent = this.#join(name, { role: 'node', rack, index })
    const node: SimNode = { ...options, torrent, traffic, doneMs: undefined }
    this.nodes.push(node)
    let missing = this.options.pieceCount
    torrent.onPiece((piece) => {
      this.copies[piece] = (this.copies[piece] ?? 0) + 1
      if (--missing > 0) return
      node.doneMs = this.time.monotonicMs()
      this.#unfinished--
    })
    torrent.want(Array(missing).keys())
  }

  #join(
    name: string,
    who: { readonly role: Role; readonly rack: string | undefined; readonly index: number },
  ): TorrentSession {
    const { time } = this
    const { pieceCount, pieceLengthBytes, seed, checkMs } = this.options
    const { role, rack } = who
    const random = createRandom(seed, DRAW.node, who.index)
    const isServer = role === 'server'
    const torrent = {
      metainfo: this.#metainfo,
      trackers: isServer ? [] : [['simulated']],
      store: createHollowStore(time),
      have: isServer ? Bitfield.full(pieceCount) : new Bitfield(pieceCount),
      pool: isServer
        ? null
        : createHollowPool(time, { slots: slabSlots(pieceLengthBytes), pieceLengthBytes, checkMs }),
    }
    return new TorrentSession(torrent, {
      ...{ role, rack, random, clock: time, listenPort: SIM_PORT, maxPeers: MAX_PEERS[role] },
      peerId: createPeerId(random),
      announceAddress: undefined,
      surroundings: {
        dial: this.network.dialFrom(name),
        announce: this.#tracker.announceFrom(name),
        soon: (callback) => void time.after(0, callback),
        onRefused: () => {},
      },
      uploadBuffers: createHollowBuffers(time, this.options.uploadBufferBytes),
      localDiscovery: undefined,
      uploadLimit: undefined,
      downloadLimit: undefined,
      onNote: (note) => {
        throw new Error(`${name} in the simulation: ${note}`)
      },
      onClosed: () => {},
    })
  }
}

function metainfoOf(options: SimOptions): Metainfo {
  const { pieceCount, pieceLengthBytes } = options
  const lengthBytes = pieceCount * pieceLengthBytes
  return {
    infoHash: parseInfoHash('0'.repeat(40)),
    infoBytes: Buffer.alloc(0),
    name: 'simulated',
    ...{ pieceLengthBytes, pieceCount, lengthBytes },
    pieceHashes: new Uint8Array(20 * pieceCount),
    files: [{ path: ['simulated'], lengthBytes, offsetBytes: 0, isPad: false }],
    ...{ isSingleFile: true, isPrivate: false, trackers: [], webSeeds: [] },
  }
}
