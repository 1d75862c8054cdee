// How often one host may call, so that a node that went mad, or somebody in its name, keeps nobody else waiting.
// A fixed window per host; hosts are those of cluster.yaml, so the table is bounded.
import { systemClock, type Clock } from '../core/core.ts'

export interface RequestLimit {
  /** False: too many; the caller may come again when the window is over. */
  admit(host: string): boolean
}

export function createRequestLimit(
  { most, windowMs }: { readonly most: number; readonly windowMs: number },
  clock: Clock = systemClock,
): RequestLimit {
  let windowStartMs = clock.monotonicMs()
  const calls = new Map<string, number>()
  return {
    admit(host) {
      const nowMs = clock.monotonicMs()
      if (nowMs - windowStartMs >= windowMs) {
        calls.clear()
        windowStartMs = nowMs
      }
      const count = (calls.get(host) ?? 0) + 1
      calls.set(host, count)
      return count <= most
    },
  }
}
