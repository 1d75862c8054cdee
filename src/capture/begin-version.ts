// The version that a capture makes. Invariant: a version that a person named is that one or an error; a name that
// follows from the clock is the next free one, because two captures within a second are no mistake.
import { isSiError } from '../core/core.ts'
import type { ImageDraft, ImageName, ImageVersion, Repository } from '../repository/repository.ts'

export interface VersionWish {
  readonly repository: Repository
  readonly name: ImageName
  /** Left out: the time of the capture in UTC, with `-2`, `-3` … where that is taken. */
  readonly version?: ImageVersion | undefined
}

export interface BegunVersion {
  readonly version: ImageVersion
  readonly draft: ImageDraft
}

/** Throws ERR_SI_IMAGE_LOCKED, and ERR_SI_IMAGE_EXISTS for a version that was named. */
export async function beginVersion(wish: VersionWish, now: Date): Promise<BegunVersion> {
  const { repository, name, version: named } = wish
  if (named !== undefined) return { version: named, draft: await repository.begin(name, named) }
  for (let number = 1; ; number++) {
    const version = timeVersion(now, number)
    try {
      return { version, draft: await repository.begin(name, version) }
    } catch (error) {
      if (!isSiError(error, 'ERR_SI_IMAGE_EXISTS')) throw error
    }
  }
}

/** 2026-11-22 14:24:48 UTC → `20261122-142448`: sorts by age and reads as a date. */
function timeVersion(now: Date, number: number): ImageVersion {
  const time = now.toISOString().replace(/[-:]/g, '').replace('T', '-').slice(0, 15)
  return (number === 1 ? time : `${time}-${number}`) as ImageVersion
}
