// The machines of the simulation and what connects them: a link each, both ways, and per rack one link
// to the core, if that is limited. Invariant: what two machines exchange goes through both their links,
// and through those of both racks when these differ; within a rack, and for machines in none, not.
import {
  formatEndpoint,
  type Connection,
  type Dial,
} from '../../src/swarm/connection/connection.ts'
import { type Handshake } from '../../src/swarm/wire/handshake.ts'
import { type PipeId } from './fair-share.ts'
import { FlowNetwork } from './flow-network.ts'
import { SimConnection, type LinkWorld } from './sim-connection.ts'
import { type VirtualTime } from './virtual-time.ts'

export interface HostOptions {
  readonly name: string
  /** undefined: at the core, in no rack. */
  readonly rack: string | undefined
  readonly upBytesPerSecond: number
  readonly downBytesPerSecond: number
  /** Somebody has connected and said what for. */
  readonly onPeer: (connection: Connection, handshake: Handshake) => void
}

/** Payload, by the machine that sent or got it. */
export interface HostTraffic {
  sentBytes: number
  receivedBytes: number
}

interface Host extends HostOptions {
  readonly up: PipeId
  readonly down: PipeId
  readonly traffic: HostTraffic
}

export interface NetworkOptions {
  readonly latencyMs: number
  readonly fragmentBytes: number
  /** How often rates are found anew, at most. */
  readonly settleMs: number
  /** Of each rack to the core and back; Infinity: never in the way. */
  readonly rackBytesPerSecond: number
}

/** Machines have addresses of their own; all listen at the customary port. */
export const SIM_PORT = 6881

export class SimNetwork {
  readonly #time: VirtualTime
  readonly #options: NetworkOptions
  readonly #flows: FlowNetwork
  readonly #hosts = new Map<string, Host>()
  readonly #racks = new Map<string, { readonly up: PipeId; readonly down: PipeId }>()
  #crossRackBytes = 0

  constructor(time: VirtualTime, options: NetworkOptions) {
    this.#time = time
    this.#options = options
    this.#flows = new FlowNetwork(time, options.settleMs)
  }

  /** Payload that left a rack for another; what machines in no rack send or get does not count. */
  get crossRackBytes(): number {
    return this.#crossRackBytes
  }

  add(options: HostOptions): HostTraffic {
    const traffic = { sentBytes: 0, receivedBytes: 0 }
    const up = this.#flows.addPipe(options.upBytesPerSecond)
    const down = this.#flows.addPipe(options.downBytesPerSecond)
    this.#hosts.set(options.name, { ...options, up, down, traffic })
    return traffic
  }

  /** How the machine of that name connects to others. */
  dialFrom(name: string): Dial {
    return (endpoint, owner, { onConnect }) => {
      const from = this.#hosts.get(name)
      const to = this.#hosts.get(endpoint.host)
      if (from === undefined) throw new Error(`No machine ${name} in the simulation`)
      if (to === undefined) throw new Error(`No machine ${endpoint.host} in the simulation`)
      const ours = new SimConnection(this.#world(from, to), this.#place(to, true), owner)
      const theirs = new SimConnection(this.#world(to, from), this.#place(from, false), {
        onHandshake: (handshake) => to.onPeer(theirs, handshake),
        onClose: () => {},
      })
      ours.join(theirs)
      this.#time.after(2 * this.#options.latencyMs, () => {
        if (!ours.isClosed) onConnect()
      })
      return ours
    }
  }

  #place(remote: Host, isOutgoing: boolean) {
    const address = formatEndpoint(remote.name, SIM_PORT)
    return { address, remoteHost: remote.name, isOutgoing }
  }

  #world(from: Host, to: Host): LinkWorld {
    const { latencyMs, fragmentBytes } = this.#options
    const isBetweenRacks = from.rack !== undefined && to.rack !== undefined && from.rack !== to.rack
    return {
      ...{ time: this.#time, flows: this.#flows, latencyMs, fragmentBytes },
      pipes: this.#pipesBetween(from, to),
      onCarried: (bytes) => {
        from.traffic.sentBytes += bytes
        to.traffic.receivedBytes += bytes
        if (isBetweenRacks) this.#crossRackBytes += bytes
      },
    }
  }

  #pipesBetween(from: Host, to: Host): readonly PipeId[] {
    if (from.rack === to.rack) return [from.up, to.down]
    const [fromRack, toRack] = [this.#rack(from), this.#rack(to)]
    return [from.up, fromRack?.up, toRack?.down, to.down].filter((pipe) => pipe !== undefined)
  }

  #rack({ rack }: Host): { readonly up: PipeId; readonly down: PipeId } | undefined {
    const { rackBytesPerSecond } = this.#options
    if (rack === undefined || rackBytesPerSecond === Infinity) return undefined
    let pipes = this.#racks.get(rack)
    if (pipes === undefined) {
      pipes = {
        up: this.#flows.addPipe(rackBytesPerSecond),
        down: this.#flows.addPipe(rackBytesPerSecond),
      }
      this.#racks.set(rack, pipes)
    }
    return pipes
  }
}
