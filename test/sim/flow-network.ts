// Bytes that flow over shared links in virtual time, as a fluid at max-min fair rates, which long TCP
// connections come near to. Invariant: a flow reaches its milestone when the rates of all moments until
// then add up to it; a rate holds until the network settles anew, at the end of a moment.
import { type QueuedEvent } from './event-queue.ts'
import { FairShare, type FlowId, type PipeId } from './fair-share.ts'
import { type VirtualTime } from './virtual-time.ts'

/** A milestone reached this much late, as a part of the way to it, is not worth a new event. */
const LATE = 1e-3

export class FlowNetwork {
  readonly time: VirtualTime
  readonly shares = new FairShare()
  readonly #flows: Flow[] = []
  readonly #settleMs: number
  #nextSettleMs = 0
  #willSettle = false

  /**
   * Rates are settled as soon as flows come or go, but only every `settleMs`: one that pauses for less than
   * that disturbs nobody. 0 is exact.
   */
  constructor(time: VirtualTime, settleMs: number) {
    this.time = time
    this.#settleMs = settleMs
    time.onMomentEnds(() => this.#endMoment())
  }

  #endMoment(): void {
    if (!this.shares.isUnsettled) return
    const nowMs = this.time.monotonicMs()
    if (nowMs >= this.#nextSettleMs) {
      this.#nextSettleMs = nowMs + this.#settleMs
      return this.shares.settle(this.#onRate)
    }
    this.shares.admit(this.#onRate)
    if (this.#willSettle) return
    this.#willSettle = true
    this.time.at(this.#nextSettleMs, () => (this.#willSettle = false))
  }

  readonly #onRate = (id: FlowId, bytesPerMs: number): void => {
    this.#flows[id]?.setRate(bytesPerMs)
  }

  /** One direction of a link. */
  addPipe(bytesPerSecond: number): PipeId {
    return this.shares.addPipe(bytesPerSecond / 1000)
  }

  /** One direction of a connection, idle; `onReached` is called at each milestone. */
  addFlow(pipes: readonly PipeId[], onReached: () => void): Flow {
    const flow = new Flow(this, this.shares.addFlow(pipes), onReached)
    this.#flows.push(flow)
    return flow
  }
}

/** One direction of a connection: idle, or on its way to its next milestone. */
export class Flow {
  readonly #network: FlowNetwork
  readonly #id: FlowId
  readonly #onReached: () => void
  #bytesPerMs = 0
  #leftBytes = 0
  #sinceMs = 0
  #dueMs = Infinity
  #event: QueuedEvent | undefined
  #isActive = false

  constructor(network: FlowNetwork, id: FlowId, onReached: () => void) {
    this.#network = network
    this.#id = id
    this.#onReached = onReached
  }

  get isActive(): boolean {
    return this.#isActive
  }

  get bytesPerSecond(): number {
    return this.#bytesPerMs * 1000
  }

  /** Sends so much more, then calls `onReached`; to be called while idle or out of `onReached`. */
  send(bytes: number): void {
    this.#leftBytes = bytes
    this.#sinceMs = this.#network.time.monotonicMs()
    if (this.#isActive) return this.#schedule()
    this.#isActive = true
    this.#network.shares.start(this.#id)
  }

  /** Sends nothing more. */
  stop(): void {
    if (!this.#isActive) return
    this.#isActive = false
    this.#bytesPerMs = 0
    this.#cancel()
    this.#network.shares.stop(this.#id)
  }

  /** For the network: the rate from now on. */
  setRate(bytesPerMs: number): void {
    const nowMs = this.#network.time.monotonicMs()
    this.#leftBytes -= this.#bytesPerMs * (nowMs - this.#sinceMs)
    this.#sinceMs = nowMs
    this.#bytesPerMs = bytesPerMs
    this.#schedule()
  }

  #schedule(): void {
    const leftMs = Math.max(0, this.#leftBytes) / this.#bytesPerMs
    this.#dueMs = this.#sinceMs + leftMs
    // An event that comes too early is cheap: it looks again. One too late must be replaced.
    if (this.#event !== undefined && this.#event.atMs <= this.#dueMs + LATE * leftMs) return
    this.#cancel()
    if (this.#dueMs < Infinity) this.#event = this.#network.time.at(this.#dueMs, this.#look)
  }

  readonly #look = (): void => {
    this.#event = undefined
    if (this.#dueMs > this.#network.time.monotonicMs()) return this.#schedule()
    this.#leftBytes = 0
    this.#onReached()
  }

  #cancel(): void {
    if (this.#event !== undefined) this.#event.run = undefined
    this.#event = undefined
  }
}
