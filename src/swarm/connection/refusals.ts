// Those that were not let in, as lines for an administrator. Invariant: whoever knocks again and again fills neither the
// log nor the memory.
import { isSiError, type Clock } from '../../core/core.ts'

/** The same fault of the same host is told of once in this time. */
const SILENCE_MS = 60_000

/** Lines in that time, whoever they are about; then one that says there are more. */
const MOST_LINES = 32

export class Refusals {
  readonly #who: string
  readonly #clock: Clock
  readonly #onNote: (text: string) => void
  readonly #told = new Set<string>()
  #sinceMs = -Infinity

  /** `who`: what they are called, such as `peer`. */
  constructor(
    who: string,
    { clock, onNote }: { readonly clock: Clock; readonly onNote: (text: string) => void },
  ) {
    this.#who = who
    this.#clock = clock
    this.#onNote = onNote
  }

  /** Of what ended a connection only the lack of trust is told: networks fail all the time. */
  add(address: string, error: Error): void {
    if (!isSiError(error, 'ERR_SI_UNTRUSTED')) return
    const nowMs = this.#clock.monotonicMs()
    if (nowMs - this.#sinceMs > SILENCE_MS) {
      this.#told.clear()
      this.#sinceMs = nowMs
    }
    const key = `${address.replace(/:\d+$/, '')} ${error.message}`
    if (this.#told.has(key) || this.#told.size > MOST_LINES) return
    this.#told.add(key)
    if (this.#told.size <= MOST_LINES)
      this.#onNote(`Refused ${this.#who} ${address}: ${error.message}`)
    else this.#onNote(`Refused more than one ${this.#who} more; they are named again in a minute`)
  }
}
