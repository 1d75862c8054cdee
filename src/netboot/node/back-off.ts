// Trying again until it works: a machine that nobody sits at has nothing better to do than to wait for what is
// missing. Invariant: every attempt that failed is told, with its cause and when the next one is.
import { setTimeout as delay } from 'node:timers/promises'
import { formatDuration, messageOf, throwIfAborted } from '../../core/core.ts'

const FIRST_PAUSE_MS = 1000
const LONGEST_PAUSE_MS = 30_000

export interface BackOffOptions {
  /** Whether waiting can help; what cannot be helped is thrown. */
  readonly isTransient: (error: unknown) => boolean
  readonly say: (text: string) => void
  readonly signal: AbortSignal
}

/** Runs `attempt` until it succeeds; pauses double from a second to half a minute. */
export async function untilItWorks<T>(
  attempt: () => Promise<T>,
  options: BackOffOptions,
): Promise<T> {
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)) {
    try {
      return await attempt()
    } catch (error) {
      throwIfAborted(options.signal)
      if (!options.isTransient(error)) throw error
      options.say(`${messageOf(error)}; trying again in ${formatDuration(pauseMs)}`)
    }
    await delay(pauseMs, undefined, { signal: options.signal })
  }
}
