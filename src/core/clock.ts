// Time as a value that tests can move. Whatever measures or waits takes a Clock.

export interface Clock {
  /** Milliseconds from an arbitrary origin; never goes backwards. */
  monotonicMs(): number
  /** Wall clock, for what people read. */
  now(): Date
  /** Calls back once after `delayMs`; the returned function cancels. The timer keeps no process alive. */
  schedule(delayMs: number, callback: () => void): () => void
}

export const systemClock: Clock = {
  monotonicMs: () => performance.now(),
  now: () => new Date(),
  schedule(delayMs, callback) {
    const timer = setTimeout(callback, delayMs)
    timer.unref()
    return () => clearTimeout(timer)
  },
}
