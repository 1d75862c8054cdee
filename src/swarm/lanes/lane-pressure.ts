// How far a lane may run ahead of the network thread. Pure. Invariant: what a connection has told and the
// network thread has not dealt with is bounded, and so is the sum for all connections of the lane: who
// passes a bound is not read from until everything up to then was heard.

export interface Talker {
  pause(): void
  resume(): void
}

/** 256 KiB of events: some thousand messages, or the reports of several hundred megabytes of payload. */
const MAX_TALKER_WORDS = 64 * 1024

/** 4 MiB of events, all connections together. */
const MAX_LANE_WORDS = 2 ** 20

interface Account {
  words: number
  lastAt: number
}

export class LanePressure {
  readonly #mark: () => void
  readonly #accounts = new Map<Talker, Account>()
  readonly #paused = new Set<Talker>()
  /** Where the marks stand that were not answered yet, in words since the start. */
  readonly #marks: number[] = []
  #told = 0
  #heard = 0

  /** `mark` asks for an answer, on which heard() is to be called. */
  constructor(mark: () => void) {
    this.#mark = mark
  }

  /** A connection has told something; may pause it. */
  add(talker: Talker, words: number): void {
    const account = this.#accountOf(talker)
    if (account.lastAt <= this.#heard) account.words = 0
    this.#told += words
    account.words += words
    account.lastAt = this.#told
    const isOver = account.words > MAX_TALKER_WORDS || this.#told - this.#heard > MAX_LANE_WORDS
    if (!isOver || this.#paused.has(talker)) return
    this.#paused.add(talker)
    talker.pause()
    this.#ask()
  }

  /** The oldest mark was answered. */
  heard(): void {
    this.#heard = this.#marks.shift() ?? this.#heard
    for (const talker of this.#paused) {
      if (this.#accountOf(talker).lastAt > this.#heard) continue
      this.#paused.delete(talker)
      talker.resume()
    }
    // What had been read when it was paused is told after the mark.
    if (this.#paused.size > 0 && this.#marks.length === 0) this.#ask()
  }

  #ask(): void {
    this.#marks.push(this.#told)
    this.#mark()
  }

  /** The connection has ended. */
  forget(talker: Talker): void {
    this.#accounts.delete(talker)
    this.#paused.delete(talker)
  }

  #accountOf(talker: Talker): Account {
    let account = this.#accounts.get(talker)
    if (account === undefined) {
      account = { words: 0, lastAt: 0 }
      this.#accounts.set(talker, account)
    }
    return account
  }
}
