// Which versions to keep, by the rules that restic and borg made familiar. Pure. Invariant: each rule keeps
// the newest version of each of its periods, whatever the other rules keep; days and weeks are those of UTC,
// weeks begin on Monday (ISO 8601).
import type { ImageVersion } from './names.ts'

export interface RetentionRules {
  /** The newest n versions. */
  readonly last?: number | undefined
  /** The newest version of each of the last n days that have any. */
  readonly daily?: number | undefined
  /** The same for weeks. */
  readonly weekly?: number | undefined
}

export interface DatedVersion {
  readonly version: ImageVersion
  readonly createdAt: Date
}

export type RetentionReason = keyof RetentionRules

const DAY_MS = 86_400_000
/** The epoch was a Thursday: days from the Monday before it. */
const EPOCH_WEEKDAY = 3

const PERIODS: Readonly<Record<RetentionReason, (createdAt: Date, index: number) => number>> = {
  last: (_, index) => index,
  daily: (createdAt) => dayOf(createdAt),
  weekly: (createdAt) => Math.floor((dayOf(createdAt) + EPOCH_WEEKDAY) / 7),
}

function dayOf(createdAt: Date): number {
  return Math.floor(createdAt.getTime() / DAY_MS)
}

/** The versions to keep with the rules that keep each; what is not in the map may go. */
export function planRetention(
  versions: readonly DatedVersion[],
  rules: RetentionRules,
): ReadonlyMap<ImageVersion, readonly RetentionReason[]> {
  const newestFirst = versions.toSorted((a, b) => b.createdAt.getTime() - a.createdAt.getTime())
  const kept = new Map<ImageVersion, RetentionReason[]>()
  for (const reason of Object.keys(PERIODS) as RetentionReason[]) {
    let left = rules[reason] ?? 0
    let period = NaN
    for (const [index, { version, createdAt }] of newestFirst.entries()) {
      const own = PERIODS[reason](createdAt, index)
      if (left === 0) break
      if (own === period) continue
      period = own
      left--
      kept.set(version, [...(kept.get(version) ?? []), reason])
    }
  }
  return kept
}
