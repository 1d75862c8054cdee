// One peer's turn at being served: a piece, so that it is whole soon and can travel on, or less if the peer
// makes no use of it. Pure: no clock but the times handed in. Invariant: what was asked for within a turn
// is owed until it is sent or taken back, even when the turn has ended.

/** A turn that is not begun is over by then. Clients exist that look at their requests once a second. */
const UNUSED_MS = 5000

/** Who takes longer over a piece holds no place any more: it may be slow, or pretend to be. */
const LONGEST_MS = 30_000

export class Turn {
  readonly #turnBytes: number
  #askedBytes = 0
  #owedBytes = 0
  #changedMs = 0

  /** `turnBytes`: what is asked for in one turn, or a little more. */
  constructor(turnBytes: number) {
    this.#turnBytes = turnBytes
  }

  /** When the turn began, or the last one ended; 0 before the first. */
  get changedMs(): number {
    return this.#changedMs
  }

  /** A turn begins, or has ended. */
  change(nowMs: number): void {
    this.#askedBytes = 0
    this.#changedMs = nowMs
  }

  asked(bytes: number): void {
    this.#askedBytes += bytes
    this.#owedBytes += bytes
  }

  /** Sent, or taken back; true when nothing is owed any more. */
  settled(bytes: number): boolean {
    this.#owedBytes -= bytes
    return this.#owedBytes === 0
  }

  /** It has asked for all that a turn gives, or had its time. */
  isOver(nowMs: number): boolean {
    const mostMs = this.#askedBytes === 0 ? UNUSED_MS : LONGEST_MS
    return this.#askedBytes >= this.#turnBytes || nowMs - this.#changedMs > mostMs
  }

  /** Choked, it is still being sent what it asked for before. */
  isEnding(nowMs: number): boolean {
    return this.#owedBytes > 0 && nowMs - this.#changedMs <= LONGEST_MS
  }
}
