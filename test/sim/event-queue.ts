// What happens when, under virtual time: a binary heap of callbacks, and beside it a plain line for those
// that all wait equally long, which need no sorting. Invariant: events come out by time, and those of the
// same time in the order in which they were put in, so a run can be repeated exactly.

export interface QueuedEvent {
  readonly atMs: number
  readonly order: number
  /** undefined once it has been cancelled: it is then passed over. */
  run: (() => void) | undefined
}

/** The front part of the line that has come out is cut off when it is as long as this. */
const LINE_CUT = 4096

export class EventQueue {
  readonly #heap: QueuedEvent[] = []
  #line: QueuedEvent[] = []
  #lineFirst = 0
  #nextOrder = 0

  /** To be cancelled by setting `run` to undefined. */
  push(atMs: number, run: () => void): QueuedEvent {
    const event: QueuedEvent = { atMs, order: this.#nextOrder++, run }
    const heap = this.#heap
    let at = heap.length
    while (at > 0) {
      const above = (at - 1) >> 1
      const parent = heap[above]
      if (parent === undefined || isBefore(parent, event)) break
      heap[at] = parent
      at = above
    }
    heap[at] = event
    return event
  }

  /** As push, cheaper for events of which none is due before the one added last. */
  append(atMs: number, run: () => void): void {
    const last = this.#line.at(-1)
    if (last !== undefined && last.atMs > atMs) this.push(atMs, run)
    else this.#line.push({ atMs, order: this.#nextOrder++, run })
  }

  /** When the next event is due; Infinity when there is none. */
  get nextMs(): number {
    const heapMs = this.#heap[0]?.atMs ?? Infinity
    const lineMs = this.#line[this.#lineFirst]?.atMs ?? Infinity
    return heapMs < lineMs ? heapMs : lineMs
  }

  /** The next event, or undefined when there is none. It may have been cancelled. */
  pop(): QueuedEvent | undefined {
    const first = this.#heap[0]
    const inLine = this.#line[this.#lineFirst]
    if (inLine === undefined) return this.#popHeap()
    if (first !== undefined && isBefore(first, inLine)) return this.#popHeap()
    this.#lineFirst++
    if (this.#lineFirst >= LINE_CUT) {
      this.#line = this.#line.slice(this.#lineFirst)
      this.#lineFirst = 0
    }
    return inLine
  }

  #popHeap(): QueuedEvent | undefined {
    const heap = this.#heap
    const first = heap[0]
    const last = heap.pop()
    if (first !== undefined && last !== undefined && first !== last) this.#sink(last)
    return first
  }

  /** Puts an event at the top and lets it sink to its place. */
  #sink(event: QueuedEvent): void {
    const heap = this.#heap
    let at = 0
    for (;;) {
      let below = 2 * at + 1
      let child = heap[below]
      if (child === undefined) break
      const right = heap[below + 1]
      if (right !== undefined && isBefore(right, child)) {
        child = right
        below++
      }
      if (isBefore(event, child)) break
      heap[at] = child
      at = below
    }
    heap[at] = event
  }
}

function isBefore(a: QueuedEvent, b: QueuedEvent): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)
}
