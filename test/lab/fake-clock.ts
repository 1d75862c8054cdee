// A clock for unit tests that only goes on when it is told to.
import { type Clock } from '../../src/core/core.ts'

/** Time that stands still until it is moved; timers fire in order. */
export function fakeClock(): Clock & { advance(durationMs: number): Promise<void> } {
  let nowMs = 0
  let timers: { atMs: number; callback: () => void }[] = []
  return {
    monotonicMs: () => nowMs,
    now: () => new Date(nowMs),
    schedule(delayMs, callback) {
      const timer = { atMs: nowMs + delayMs, callback }
      timers.push(timer)
      return () => (timers = timers.filter((other) => other !== timer))
    },
    async advance(durationMs) {
      const untilMs = nowMs + durationMs
      for (;;) {
        // What was promised so far is done before time goes on.
        for (let turn = 0; turn < 20; turn++) await Promise.resolve()
        const next = timers
          .filter((timer) => timer.atMs <= untilMs)
          .toSorted((a, b) => a.atMs - b.atMs)[0]
        if (next === undefined) break
        timers = timers.filter((timer) => timer !== next)
        nowMs = next.atMs
        next.callback()
      }
      nowMs = untilMs
    },
  }
}
