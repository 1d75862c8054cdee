// How much one connection may move, one way, before the event loop turns to the others. Without it a peer on
// a fast link could keep a thread to itself: as fast as we send it reads, and the other way round.

/** A millisecond or two of copying. */
const BYTES_PER_TURN = 4 * 2 ** 20

export class TurnBudget {
  #spentBytes = 0

  get isSpent(): boolean {
    return this.#spentBytes >= BYTES_PER_TURN
  }

  /** Counts what was moved; forgotten with the next turn. */
  spend(bytes: number): void {
    if (this.#spentBytes === 0) setImmediate(() => (this.#spentBytes = 0))
    this.#spentBytes += bytes
  }
}
