// The members of a mirror and what is known of them: who is up, who has missed nothing. Whoever waits for
// that to change waits here.
import { FuseError } from '../fuse/errno.ts'
import { type WireStanding } from '../wire/operations.ts'
import { unlessAborted } from '../until-aborted.ts'
import { isLost, type Member } from './member.ts'

const RETRY_MS = 500

export class Roster {
  readonly members: readonly Member[]
  /** How many must have done a change. */
  readonly majority: number
  /** A member that was dirty is clean again: what was known of its objects is void. */
  readonly #onHealed: (member: Member) => void
  readonly #softMs: number
  #standing: WireStanding = { version: 0, clean: [] }
  #change = Promise.withResolvers<void>()
  #isPatient = true

  constructor(members: readonly Member[], softMs: number, onHealed: (member: Member) => void) {
    this.members = members
    this.#softMs = softMs
    this.majority = Math.floor(members.length / 2) + 1
    this.#onHealed = onHealed
  }

  get standing(): WireStanding {
    return this.#standing
  }

  get isPatient(): boolean {
    return this.#isPatient
  }

  set isPatient(isPatient: boolean) {
    this.#isPatient = isPatient
    for (const { connection } of this.members) connection.setPatience(isPatient)
    this.changed()
  }

  /** Takes over what is newer than what is known. */
  adopt(standing: WireStanding): void {
    if (standing.version <= this.#standing.version) return
    const dirty = this.members.filter((member) => !this.isClean(member))
    this.#standing = standing
    for (const member of dirty) {
      if (!this.isClean(member)) continue
      this.#onHealed(member)
      // It was not missed before: it has as much time to come as one that has just gone.
      if (!member.isUp) member.downMs = performance.now()
    }
    this.changed()
  }

  /** Whether a member has missed nothing, as far as is known; before anything is known all are clean. */
  isClean(member: Member): boolean {
    return this.#standing.version === 0 || isCleanIn(this.#standing, member)
  }

  /** The nearest member that may be read. */
  nearest(): Member | undefined {
    const usable = this.members.filter((member) => member.isUp && this.isClean(member))
    return usable.reduce<Member | undefined>(
      (best, member) => (best === undefined || member.latencyMs < best.latencyMs ? member : best),
      undefined,
    )
  }

  /** By the nearest member; by another one when that is lost meanwhile. Throws ETIMEDOUT. */
  async onNearest<T>(
    signal: AbortSignal | undefined,
    work: (member: Member) => Promise<T> | undefined,
  ): Promise<T> {
    const endMs = performance.now() + this.#softMs
    for (;;) {
      const member = this.nearest()
      if (member === undefined) {
        if (performance.now() > endMs) throw new FuseError('ETIMEDOUT', 'no server of the mirror')
        await this.untilChange(RETRY_MS, signal)
        continue
      }
      try {
        return (await work(member)) as T
      } catch (error) {
        if (!isLost(error)) throw error
        if (member.isUp) await this.untilChange(RETRY_MS, signal)
      }
    }
  }

  /** Something is not as it was. */
  changed(): void {
    const { resolve } = this.#change
    this.#change = Promise.withResolvers()
    resolve()
  }

  /** Settles at the next change, or after `waitMs`. Throws ENOTCONN without patience, ERR_SI_ABORTED. */
  async untilChange(waitMs: number, signal?: AbortSignal): Promise<void> {
    if (!this.#isPatient) throw new FuseError('ENOTCONN')
    const { promise, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(resolve, waitMs)
    const change = Promise.race([promise, this.#change.promise])
    await (signal === undefined ? change : unlessAborted(change, signal)).finally(() => {
      clearTimeout(timer)
    })
  }
}

/** A member whose kernel has restarted may have lost what was not synchronised: it is another one. */
export function isCleanIn({ clean }: WireStanding, { name, verifier }: Member): boolean {
  return clean.some(
    (one) => Buffer.from(one.member).equals(Buffer.from(name)) && verifier.equals(one.verifier),
  )
}

/** Clean when it was last seen; perhaps its kernel has restarted since. */
export function isNamedIn({ clean }: WireStanding, { name }: Member): boolean {
  return clean.some((one) => Buffer.from(one.member).equals(Buffer.from(name)))
}

/** What is written down when these, and no others, are clean. */
export function standingOf(version: number, clean: readonly Member[]): WireStanding {
  return {
    version,
    clean: clean.map(({ name, verifier }) => ({ member: Buffer.from(name), verifier })),
  }
}
