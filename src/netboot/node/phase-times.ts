// How long each phase of an installation took, for people who want to know where the time went. Invariant: phases that
// come again, as writing and reading manifests do, are added up; the order is that of their first begin.
import { formatDuration, type Clock } from '../../core/core.ts'

export interface PhaseTimes {
  /** From now on it is this phase, until the next call. */
  enter(phase: string): void
  /** `preparing 2.1 s, writing 31 s`; up to now. Those below a tenth of a second are left out. */
  describe(): string
}

const SHORTEST_MS = 100

export function createPhaseTimes(clock: Clock): PhaseTimes {
  const spentMs = new Map<string, number>()
  let current: { readonly phase: string; readonly sinceMs: number } | undefined
  const close = () => {
    if (current === undefined) return
    const { phase, sinceMs } = current
    spentMs.set(phase, (spentMs.get(phase) ?? 0) + clock.monotonicMs() - sinceMs)
  }
  const enter = (phase: string) => {
    close()
    current = { phase, sinceMs: clock.monotonicMs() }
    if (!spentMs.has(phase)) spentMs.set(phase, 0)
  }
  return {
    enter,
    describe() {
      if (current !== undefined) enter(current.phase)
      const long = [...spentMs].filter(([, ms]) => ms >= SHORTEST_MS)
      return long.map(([phase, ms]) => `${phase} ${formatDuration(ms)}`).join(', ')
    },
  }
}
