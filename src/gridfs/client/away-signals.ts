// Signals to callers count while the server is away: then they may give up. While it is there its answer is
// waited for, as no program expects mkdir(2) to be interrupted by a timer.
export class AwaySignals {
  readonly #looks = new Set<() => void>()
  #isAway = true

  setAway(isAway: boolean): void {
    this.#isAway = isAway
    if (isAway) for (const look of [...this.#looks]) look()
  }

  /** `wait` is given a signal that fires when `signal` has and the server is away. */
  async during<T>(
    signal: AbortSignal | undefined,
    wait: (signal: AbortSignal | undefined) => Promise<T>,
  ): Promise<T> {
    if (signal === undefined) return wait(undefined)
    const controller = new AbortController()
    const look = () => {
      if (signal.aborted && this.#isAway) controller.abort(signal.reason)
    }
    this.#looks.add(look)
    signal.addEventListener('abort', look, { once: true })
    look()
    try {
      return await wait(controller.signal)
    } finally {
      this.#looks.delete(look)
      signal.removeEventListener('abort', look)
    }
  }
}
