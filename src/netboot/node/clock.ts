// The wall clock: a machine whose battery is empty would believe no certificate. Invariant: the server's time is taken
// only where ours is off by more than certificates forgive, and never set to before this initramfs was made: who
// could answer in the server's place could otherwise bring back a certificate that has expired long ago.
import { formatDuration } from '../../core/core.ts'
import { run } from '../../host/host.ts'

const TOLERATED_MS = 30_000

export interface ClockFacts {
  readonly serverMs: number | undefined
  readonly ownMs: number
  /** When the initramfs was made. */
  readonly madeMs: number
}

/** The time to set; undefined: the clock may stay as it is. */
export function timeToSet({ serverMs, ownMs, madeMs }: ClockFacts): number | undefined {
  const wantedMs = Math.max(serverMs ?? ownMs, madeMs)
  return Math.abs(wantedMs - ownMs) > TOLERATED_MS ? wantedMs : undefined
}

export async function correctClock(facts: ClockFacts, say: (text: string) => void): Promise<void> {
  const timeMs = timeToSet(facts)
  if (timeMs === undefined) return
  await run('date', ['-u', '-s', `@${Math.round(timeMs / 1000)}`])
  const off = formatDuration(Math.abs(timeMs - facts.ownMs))
  say(`time: the clock was off by ${off}, now it is ${new Date(timeMs).toISOString()}`)
}
