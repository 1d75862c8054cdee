// Who sends how fast when many share their links. Bytes flow as a fluid; the rates are the max-min fair
// ones, which long TCP connections come near to. Invariant: each flow has a link that is full and in
// which nobody is faster (Bertsekas and Gallager, Data Networks, 6.5.2), up to `TOLERANCE`. Rates are
// found anew only around what has changed: each link offers a share, each flow takes the least offer.
import { type QueuedEvent } from './event-queue.ts'
import { type VirtualTime } from './virtual-time.ts'

/** Changes of an offer, and of the time until a milestone, smaller than this part of it are let be. */
const TOLERANCE = 1e-3

/** A bound on the work for one moment, in visits per link that had changed; the rest waits for the next. */
const MAX_VISITS_PER_CHANGE = 50

/** One direction of a link. */
export class Pipe {
  readonly bytesPerMs: number
  readonly flows: Flow[] = []
  /** The rate of a flow that nothing else holds back. */
  offer: number
  isChanged = false

  constructor(bytesPerSecond: number) {
    this.bytesPerMs = bytesPerSecond / 1000
    this.offer = this.bytesPerMs
  }
}

/** One direction of a connection: idle, or on its way to its next milestone. */
export class Flow {
  readonly pipes: readonly Pipe[]
  readonly #network: FlowNetwork
  readonly #onReached: () => void
  #bytesPerMs = 0
  #leftBytes = 0
  #sinceMs = 0
  #dueMs = Infinity
  #event: QueuedEvent | undefined
  #isActive = false
  isTouched = false

  constructor(network: FlowNetwork, pipes: readonly Pipe[], onReached: () => void) {
    this.#network = network
    this.pipes = pipes
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
    if (!this.#isActive) {
      this.#isActive = true
      this.#network.add(this)
    } else {
      this.#schedule()
    }
  }

  /** Sends nothing more. */
  stop(): void {
    if (!this.#isActive) return
    this.#isActive = false
    this.#bytesPerMs = 0
    this.#cancel()
    this.#network.remove(this)
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
    if (this.#event !== undefined && this.#event.atMs <= this.#dueMs + TOLERANCE * leftMs) return
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

export class FlowNetwork {
  readonly time: VirtualTime
  #changed: Pipe[] = []
  #touched: Flow[] = []

  constructor(time: VirtualTime) {
    this.time = time
    time.onMomentEnds(() => this.#settle())
  }

  /** For flows: takes part from now on. */
  add(flow: Flow): void {
    for (const pipe of flow.pipes) {
      pipe.flows.push(flow)
      this.#markChanged(pipe)
    }
    this.#touch(flow)
  }

  remove(flow: Flow): void {
    for (const pipe of flow.pipes) {
      const last = pipe.flows.pop()
      if (last !== undefined && last !== flow) pipe.flows[pipe.flows.indexOf(flow)] = last
      this.#markChanged(pipe)
    }
  }

  #markChanged(pipe: Pipe): void {
    if (pipe.isChanged) return
    pipe.isChanged = true
    this.#changed.push(pipe)
  }

  #touch(flow: Flow): void {
    if (flow.isTouched) return
    flow.isTouched = true
    this.#touched.push(flow)
  }

  #settle(): void {
    const changed = this.#changed
    const most = changed.length * MAX_VISITS_PER_CHANGE
    let visited = 0
    while (visited < changed.length && visited < most) {
      const pipe = changed[visited++]
      if (pipe === undefined) break
      pipe.isChanged = false
      this.#visit(pipe)
    }
    this.#changed = changed.slice(visited)
    for (const flow of this.#touched) {
      flow.isTouched = false
      if (flow.isActive) flow.setRate(leastOffer(flow, undefined))
    }
    this.#touched = []
  }

  /** Finds the offer of one link anew and tells those links whom that concerns. */
  #visit(pipe: Pipe): void {
    const before = pipe.offer
    const offer = offerOf(pipe)
    if (Math.abs(offer - before) <= before * TOLERANCE) return
    pipe.offer = offer
    for (const flow of pipe.flows) {
      const elsewhere = leastOffer(flow, pipe)
      // A flow that others hold back before and after does not notice.
      if (elsewhere <= offer && elsewhere <= before) continue
      this.#touch(flow)
      for (const other of flow.pipes) if (other !== pipe) this.#markChanged(other)
    }
  }
}

function leastOffer(flow: Flow, except: Pipe | undefined): number {
  const { pipes } = flow
  let least = Infinity
  for (let at = 0; at < pipes.length; at++) {
    const pipe = pipes[at]
    if (pipe !== undefined && pipe !== except && pipe.offer < least) least = pipe.offer
  }
  return least
}

/**
 * Fills the pipe: flows held back elsewhere get what they can take, the others the same each. Where all
 * are held back, the offer is what the fastest of them could have.
 */
function offerOf(pipe: Pipe): number {
  const { flows } = pipe
  let most = 0
  for (let at = 0; at < flows.length; at++) {
    const flow = flows[at]
    const cap = flow === undefined ? 0 : leastOffer(flow, pipe)
    caps[at] = cap
    if (cap > most) most = cap
  }
  let offer = pipe.bytesPerMs / flows.length
  for (;;) {
    let left = pipe.bytesPerMs
    let sharers = 0
    for (let at = 0; at < flows.length; at++) {
      const cap = caps[at] ?? 0
      if (cap > offer) sharers++
      else left -= cap
    }
    if (sharers === 0) return left + most
    // Each round takes more flows out of those that share, and so leaves the rest more.
    const next = left / sharers
    if (next <= offer) return offer
    offer = next
  }
}

/** Scratch memory of offerOf. */
const caps: number[] = []
