// Max-min fair rates of flows that share pipes: each flow has a pipe that is full and in which nobody is
// faster (Bertsekas and Gallager, Data Networks, 6.5.2). Each pipe offers a share, each flow takes the
// least offer; only around what has changed are offers found anew. Invariant: after `settle` offers are
// right up to `TOLERANCE`. Pure numbers in flat arrays: a thousand nodes ask millions of times.

/** Names a pipe: one direction of a link. */
export type PipeId = number

/** Names a flow and its path. */
export type FlowId = number

/** Changes of an offer smaller than this part of it do not travel on. */
const TOLERANCE = 4e-3

/** A bound on the work of one settling, in visits per pipe that had changed; the rest is for the next. */
const MAX_VISITS_PER_CHANGE = 50

/** Both nodes' links and both racks'. */
const MAX_PATH = 4
const NO_PIPE = -1

export class FairShare {
  readonly #capacity: number[] = []
  /** By pipe: the rate of a flow that nothing else holds back. */
  readonly #offer: number[] = []
  /** By pipe: the flows that are sending. */
  readonly #flowsOf: FlowId[][] = []
  readonly #isChanged: boolean[] = []
  /** By flow: MAX_PATH places. */
  readonly #path: PipeId[] = []
  readonly #isTouched: boolean[] = []
  readonly #isSending: boolean[] = []
  /** Scratch memory: what each flow of a pipe could have elsewhere. */
  readonly #caps: number[] = []
  #changed: PipeId[] = []
  #touched: FlowId[] = []

  /** `capacity` in any unit; rates are in the same. */
  addPipe(capacity: number): PipeId {
    this.#offer.push(capacity)
    this.#flowsOf.push([])
    this.#isChanged.push(false)
    return this.#capacity.push(capacity) - 1
  }

  /** A flow along one to four different pipes, not sending yet. */
  addFlow(pipes: readonly PipeId[]): FlowId {
    for (let at = 0; at < MAX_PATH; at++) this.#path.push(pipes[at] ?? NO_PIPE)
    this.#isTouched.push(false)
    return this.#isSending.push(false) - 1
  }

  start(flow: FlowId): void {
    this.#isSending[flow] = true
    for (const pipe of this.#pipesOf(flow)) {
      this.#flowsOf[pipe]?.push(flow)
      this.#markChanged(pipe)
    }
    this.#touch(flow)
  }

  stop(flow: FlowId): void {
    this.#isSending[flow] = false
    for (const pipe of this.#pipesOf(flow)) {
      const flows = this.#flowsOf[pipe] ?? []
      const last = flows.pop()
      if (last !== undefined && last !== flow) flows[flows.indexOf(flow)] = last
      this.#markChanged(pipe)
    }
  }

  /** Whether flows have come or gone since rates were found. */
  get isUnsettled(): boolean {
    return this.#changed.length > 0
  }

  /** Finds all rates anew and tells those that may have changed. */
  settle(onRate: (flow: FlowId, rate: number) => void): void {
    const changed = this.#changed
    const most = changed.length * MAX_VISITS_PER_CHANGE
    let visited = 0
    while (visited < changed.length && visited < most) this.#visit(changed[visited++] ?? 0)
    this.#changed = changed.slice(visited)
    this.admit(onRate)
  }

  /** Gives flows that have just started what is offered them, before the others know of them. */
  admit(onRate: (flow: FlowId, rate: number) => void): void {
    const touched = this.#touched
    this.#touched = []
    for (const flow of touched) {
      this.#isTouched[flow] = false
      if (this.#isSending[flow]) onRate(flow, this.#leastOffer(flow, NO_PIPE))
    }
  }

  #pipesOf(flow: FlowId): PipeId[] {
    const path = this.#path.slice(flow * MAX_PATH, (flow + 1) * MAX_PATH)
    return path.filter((pipe) => pipe !== NO_PIPE)
  }

  #markChanged(pipe: PipeId): void {
    if (this.#isChanged[pipe]) return
    this.#isChanged[pipe] = true
    this.#changed.push(pipe)
  }

  #touch(flow: FlowId): void {
    if (this.#isTouched[flow]) return
    this.#isTouched[flow] = true
    this.#touched.push(flow)
  }

  /** Finds the offer of one pipe anew and tells those pipes whom that concerns. */
  #visit(pipe: PipeId): void {
    this.#isChanged[pipe] = false
    const flows = this.#flowsOf[pipe] ?? []
    const before = this.#offer[pipe] ?? 0
    const offer = this.#findOffer(pipe, flows)
    if (Math.abs(offer - before) <= before * TOLERANCE) return
    this.#offer[pipe] = offer
    for (let at = 0; at < flows.length; at++) {
      const elsewhere = this.#caps[at] ?? 0
      // A flow that others hold back before and after does not notice.
      if (elsewhere <= offer && elsewhere <= before) continue
      const flow = flows[at] ?? 0
      this.#touch(flow)
      const first = flow * MAX_PATH
      for (let step = first; step < first + MAX_PATH; step++) {
        const other = this.#path[step] ?? NO_PIPE
        if (other !== NO_PIPE && other !== pipe) this.#markChanged(other)
      }
    }
  }

  /**
   * Fills the pipe: flows held back elsewhere get what they can take, the others the same each. Where all
   * are held back, the offer is what the fastest of them could have. Leaves the caps in `#caps`.
   */
  #findOffer(pipe: PipeId, flows: readonly FlowId[]): number {
    const capacity = this.#capacity[pipe] ?? 0
    const caps = this.#caps
    let most = 0
    for (let at = 0; at < flows.length; at++) {
      const cap = this.#leastOffer(flows[at] ?? 0, pipe)
      caps[at] = cap
      if (cap > most) most = cap
    }
    let offer = capacity / flows.length
    for (;;) {
      let left = capacity
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

  #leastOffer(flow: FlowId, except: PipeId): number {
    const first = flow * MAX_PATH
    let least = Infinity
    for (let step = first; step < first + MAX_PATH; step++) {
      const pipe = this.#path[step] ?? NO_PIPE
      if (pipe === NO_PIPE) break
      const offer = this.#offer[pipe] ?? 0
      if (pipe !== except && offer < least) least = offer
    }
    return least
  }
}
