// A connection of the simulation: two ends, each with a queue of messages and payload that leaves in order
// at the rate the network allows and arrives one latency later. It is a Connection to its user;
// nothing is encoded, and payload is a length. Control messages take no time on the link.
import { type SlotPlace } from '../../src/swarm/pieces/block-table.ts'
import {
  type Connection,
  type ConnectionOwner,
  type MessageOptions,
} from '../../src/swarm/connection/connection.ts'
import { type Handshake } from '../../src/swarm/wire/handshake.ts'
import { Intake, type PeerSink } from '../../src/swarm/connection/intake.ts'
import { type BlockRange, type WireMessage } from '../../src/swarm/wire/wire.ts'
import { type PipeId } from './fair-share.ts'
import { type Flow, type FlowNetwork } from './flow-network.ts'
import { zeros } from './payload.ts'
import { type VirtualTime } from './virtual-time.ts'

/** What carries one direction of a connection. */
export interface LinkWorld {
  readonly time: VirtualTime
  readonly flows: FlowNetwork
  readonly pipes: readonly PipeId[]
  readonly latencyMs: number
  /** Payload is handed over in parts of this size, as reads of a socket would. */
  readonly fragmentBytes: number
  /** Payload has left for the other end. */
  readonly onCarried: (bytes: number) => void
}

type Parcel =
  | { readonly kind: 'arrival'; readonly arrive: () => void }
  | { readonly kind: 'payload'; leftBytes: number }
  | { readonly kind: 'sent'; readonly onSent: () => void }

export class SimConnection implements Connection {
  readonly isOutgoing: boolean
  readonly address: string
  readonly remoteHost: string
  readonly #world: LinkWorld
  readonly #flow: Flow
  readonly #queue: Parcel[] = []
  #other: SimConnection | undefined
  #owner: ConnectionOwner
  #intake: Intake | undefined
  #inFlightBytes = 0
  #incomingBytes = 0
  #isClosed = false
  #lastReceivedMs: number
  #lastSentMs: number

  constructor(
    world: LinkWorld,
    place: Pick<Connection, 'address' | 'remoteHost' | 'isOutgoing'>,
    owner: ConnectionOwner,
  ) {
    this.#world = world
    this.address = place.address
    this.remoteHost = place.remoteHost
    this.isOutgoing = place.isOutgoing
    this.#owner = owner
    this.#flow = world.flows.addFlow(world.pipes, () => this.#onReached())
    this.#lastReceivedMs = this.#lastSentMs = this.#nowMs
  }

  /** Makes this and another end the two of one connection. */
  join(other: SimConnection): void {
    this.#other = other
    other.#other = this
  }

  get #remote(): SimConnection {
    if (this.#other === undefined) throw new Error('An end of a connection that was not joined')
    return this.#other
  }

  get #nowMs(): number {
    return this.#world.time.monotonicMs()
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  get silentMs(): number {
    return this.#nowMs - this.#lastReceivedMs
  }

  get unsentMs(): number {
    return this.#nowMs - this.#lastSentMs
  }

  setOwner(owner: ConnectionOwner): void {
    this.#owner = owner
  }

  startMessages(sink: PeerSink, { slab }: MessageOptions): void {
    this.#intake = new Intake(sink, slab)
  }

  sendHandshake(handshake: Handshake): void {
    const remote = this.#remote
    this.#post(() => remote.#onHandshake(handshake))
  }

  send(...messages: readonly WireMessage[]): void {
    const remote = this.#remote
    this.#post(() => remote.#onMessages(messages))
  }

  request(range: BlockRange, place: SlotPlace | undefined): void {
    if (place !== undefined) this.#intake?.expect(range, place)
    this.send({ type: 'request', range })
  }

  sendPayload: Connection['sendPayload'] = (_buffer, parts, { onSent }) => {
    if (this.#isClosed) return onSent()
    const remote = this.#remote
    for (const { head, lengthBytes } of parts) {
      if (head !== undefined) this.#post(() => remote.#onHead(head))
      this.#queue.push({ kind: 'payload', leftBytes: lengthBytes })
    }
    this.#queue.push({ kind: 'sent', onSent })
    this.#lastSentMs = this.#nowMs
    if (!this.#flow.isActive) this.#pump()
  }

  sendFiles(): void {
    throw new Error('The simulation has no files')
  }

  /** `arrive` is a step of the other end. */
  #post(arrive: () => void): void {
    if (this.#isClosed) return
    this.#lastSentMs = this.#nowMs
    if (this.#queue.length > 0) this.#queue.push({ kind: 'arrival', arrive })
    else this.#deliver(arrive)
  }

  #deliver(arrive: () => void): void {
    this.#world.time.later(this.#world.latencyMs, arrive)
  }

  /** Sends on until payload is under way or nothing is left. */
  #pump(): void {
    for (let parcel = this.#queue[0]; parcel !== undefined; parcel = this.#queue[0]) {
      if (parcel.kind === 'payload') {
        this.#inFlightBytes = Math.min(parcel.leftBytes, this.#world.fragmentBytes)
        return this.#flow.send(this.#inFlightBytes)
      }
      this.#queue.shift()
      if (parcel.kind === 'arrival') {
        this.#deliver(parcel.arrive)
      } else {
        this.#world.time.expectPromises()
        parcel.onSent()
      }
    }
    this.#flow.stop()
  }

  #onReached(): void {
    const bytes = this.#inFlightBytes
    const parcel = this.#queue[0]
    this.#world.onCarried(bytes)
    const remote = this.#remote
    this.#deliver(() => remote.#onPayload(bytes))
    if (parcel?.kind === 'payload') {
      parcel.leftBytes -= bytes
      if (parcel.leftBytes === 0) this.#queue.shift()
    }
    this.#pump()
  }

  /** Something arrives; false when nobody is there any more. */
  #hears(): boolean {
    this.#lastReceivedMs = this.#nowMs
    return !this.#isClosed
  }

  #onHandshake(handshake: Handshake): void {
    if (this.#hears()) this.#owner.onHandshake(handshake)
  }

  #onMessages(messages: readonly WireMessage[]): void {
    for (const message of messages) if (this.#hears()) this.#intake?.onMessage(message)
  }

  #onHead(head: BlockRange): void {
    if (!this.#hears()) return
    this.#incomingBytes = head.lengthBytes
    this.#intake?.onPayloadBegin(head)
  }

  #onPayload(bytes: number): void {
    if (!this.#hears()) return
    this.#incomingBytes -= bytes
    this.#intake?.onPayload(zeros(bytes))
    if (this.#incomingBytes === 0 && !this.#isClosed) this.#intake?.onPayloadEnd()
    if (!this.#isClosed) this.#intake?.onDrained()
  }

  close(error?: Error): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#flow.stop()
    const { time } = this.#world
    for (const parcel of this.#queue.splice(0)) if (parcel.kind === 'sent') parcel.onSent()
    time.expectPromises()
    time.after(0, () => this.#owner.onClose(error))
    const remote = this.#remote
    time.after(this.#world.latencyMs, () => remote.close())
  }
}
