// The right to change a mirror: a hold on a majority of its members, taken in their order, so that one mount
// changes it at a time and two halves of a network never both do. Kept while there is something to change,
// let go when another mount wants it or nothing is changed any more. Invariant: while it is held, `clean`
// are members that have missed nothing and are a majority; all others are written down there as dirty.
// PROTOCOL.md §7.
import { FuseError } from '../fuse/errno.ts'
import { type WireReplyOf, type WireStanding } from '../wire/operations.ts'
import { unlessAborted } from '../until-aborted.ts'
import { isLost, type Member } from './member.ts'
import { isCleanIn, isNamedIn, standingOf, type Roster } from './roster.ts'

type Grant = WireReplyOf<'hold'>

export interface MirrorHoldOptions {
  readonly roster: Roster
  /** How long changes wait for a majority. */
  readonly softMs: number
  readonly onNote: (text: string) => void
  /** A mount ended in the middle of changes: makes these paths the same on all `clean` members. */
  readonly reconcile: (paths: readonly Uint8Array[], clean: readonly Member[]) => Promise<void>
}

/** A server that restarts is waited for so long before it is left behind. */
const GRACE_MS = 3000
const IDLE_MS = 1000
/** So long changes go on when another mount waits already. */
const TURN_MS = 50
const RETRY_MS = 500

export class MirrorHold {
  readonly #options: MirrorHoldOptions
  readonly #excluding = new Map<Member, Promise<void>>()
  #clean: readonly Member[] = []
  #acquiring: Promise<void> | undefined
  #isHeld = false
  #isDraining = false
  #inFlight = 0
  #acquiredMs = 0
  #restTimer: NodeJS.Timeout | undefined
  #turnTimer: NodeJS.Timeout | undefined
  #clockOffsetNs = 0n
  #lastStampNs = 0n
  #term = 0
  /** Of changes of ours it is not known which members have done them. */
  #hasUnsettled = false

  constructor(options: MirrorHoldOptions) {
    this.#options = options
  }

  /** The members to change. */
  get clean(): readonly Member[] {
    return this.#clean
  }

  /** Counts how often it was taken. */
  get term(): number {
    return this.#term
  }

  /** Does the work while it is held: at once, when it is. Throws ETIMEDOUT, ENOTCONN, ERR_SI_ABORTED. */
  async during<T>(signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
    while (!this.#isHeld || this.#isDraining) await this.#acquired(signal)
    this.#inFlight += 1
    clearTimeout(this.#restTimer)
    try {
      return await work()
    } finally {
      this.#inFlight -= 1
      this.#rest()
    }
  }

  /** The time of the next change: later than that of all before. */
  nextStampNs(): bigint {
    const nowNs = BigInt(Date.now()) * 1_000_000n + this.#clockOffsetNs
    this.#lastStampNs = nowNs > this.#lastStampNs ? nowNs : this.#lastStampNs + 1n
    return this.#lastStampNs
  }

  /** Another mount waits. */
  wanted(): void {
    if (!this.#isHeld || this.#turnTimer !== undefined) return
    const leftMs = Math.max(0, this.#acquiredMs + TURN_MS - performance.now())
    this.#turnTimer = setTimeout(() => {
      this.#isDraining = true
      this.#rest()
    }, leftMs)
  }

  memberIsUp(member: Member): void {
    // Before what waits for it: the server refuses changes of who does not hold.
    const isNeeded = this.#isHeld && this.#clean.includes(member)
    if (isNeeded && member.hello?.isKnown === false) {
      void member.call('hold', { what: 'changes', waits: true }).catch(() => {})
    }
    if (!isNeeded && member.hello?.isKnown === true) void this.#letGo([member], false)
  }

  memberIsDown(member: Member): void {
    if (!this.#isHeld || !this.#clean.includes(member)) return
    setTimeout(() => {
      if (this.#isHeld && !member.isUp && this.#clean.includes(member)) {
        void this.exclude(member).catch(() => {})
      }
    }, GRACE_MS).unref()
  }

  /**
   * Goes on without a member: the others know it as dirty when this settles. Waits for the member or others
   * when without it there is no majority.
   */
  exclude(member: Member): Promise<void> {
    if (!this.#clean.includes(member)) return this.#excluding.get(member) ?? Promise.resolve()
    const rest = this.#clean.filter((other) => other !== member)
    if (rest.length < this.#options.roster.majority) {
      return Promise.reject(new FuseError('EIO', 'no majority of the mirror has done it'))
    }
    this.#clean = rest
    this.#options.onNote(`${member.name} misses changes from now on; heal it when it is back`)
    const excluding = this.#tell(rest).finally(() => {
      if (!member.isUp) member.connection.setPatience(false)
    })
    this.#excluding.set(member, excluding)
    return excluding
  }

  /** Takes a member in that has been brought up to date. To be called during the hold. */
  async include(member: Member): Promise<void> {
    await member.call('hold', { what: 'changes', waits: true })
    this.#excluding.delete(member)
    await this.#tell(
      this.#options.roster.members.filter((one) => one === member || this.#clean.includes(one)),
    )
  }

  /** It is not known which members have done a change: to be compared before the next. */
  unsettled(): void {
    this.#hasUnsettled = true
  }

  /** The members have given it to somebody else. */
  expired(): void {
    this.#hasUnsettled = true
    this.#isDraining = true
  }

  async close(): Promise<void> {
    if (this.#isHeld && this.#inFlight === 0) await this.#release()
  }

  async #tell(clean: readonly Member[]): Promise<void> {
    const { roster } = this.#options
    const standing = standingOf(roster.standing.version + 1, clean)
    roster.adopt(standing)
    this.#clean = clean
    const told = await Promise.allSettled(
      clean.map((member) => member.call('setStanding', { standing })),
    )
    const lost = told.find((one) => one.status === 'rejected')
    const hasMajority =
      told.filter(({ status }) => status === 'fulfilled').length >= roster.majority
    if (lost !== undefined && !hasMajority) throw lost.reason
  }

  async #acquired(signal: AbortSignal | undefined): Promise<void> {
    this.#acquiring ??= this.#acquire().finally(() => (this.#acquiring = undefined))
    const acquiring = this.#acquiring
    if (signal === undefined) return acquiring
    await unlessAborted(acquiring, signal)
  }

  async #acquire(): Promise<void> {
    const { roster, softMs } = this.#options
    while (this.#isHeld) await roster.untilChange(RETRY_MS) // draining
    const endMs = performance.now() + softMs
    let isFirst = true
    for (;;) {
      await this.#grace()
      const grants = await this.#holdAll()
      const fault = await this.#begin(grants).catch((error: unknown) => {
        if (!isLost(error)) throw error
        return 'a server was lost meanwhile'
      })
      if (fault === undefined) return
      await this.#letGo([...grants.keys()], false)
      if (isFirst) this.#options.onNote(`changes wait: ${fault}`)
      isFirst = false
      if (performance.now() > endMs) throw new FuseError('ETIMEDOUT', fault)
      await roster.untilChange(RETRY_MS)
    }
  }

  /** Clean members that have just gone may be back at once. */
  async #grace(): Promise<void> {
    const { roster } = this.#options
    const endMs = performance.now() + GRACE_MS
    const hasJustGone = () => roster.members.some((one) => !one.isUp && isRecent(one))
    while (hasJustGone() && performance.now() < endMs) await roster.untilChange(100)
  }

  async #holdAll(): Promise<Map<Member, Grant>> {
    const grants = new Map<Member, Grant>()
    for (const member of this.#options.roster.members) {
      if (!member.isUp) continue
      try {
        const { reply } = await member.ask('hold', { what: 'changes', waits: true })
        grants.set(member, reply)
      } catch (error) {
        if (!isLost(error)) throw error
      }
    }
    return grants
  }

  /** What is in the way, in words; undefined when it is held now. */
  async #begin(grants: ReadonlyMap<Member, Grant>): Promise<string | undefined> {
    const { roster } = this.#options
    for (const { standing } of grants.values()) roster.adopt(standing)
    const { standing } = roster
    const granted = [...grants.keys()]
    if (standing.version === 0 && granted.length < roster.members.length) {
      return 'a mirror begins with all of its servers'
    }
    const missed = roster.members.find((one) => !grants.has(one) && isMissed(one, standing))
    if (missed !== undefined) return `${missed.name} has missed nothing, and may be there at once`
    const clean = granted.filter((one) => standing.version === 0 || isCleanIn(standing, one))
    if (clean.length < roster.majority) {
      return `${clean.length} of ${roster.members.length} servers are there and up to date, ${roster.majority} are needed`
    }
    await this.#reconcile(grants, clean)
    this.#excluding.clear()
    const restarted = granted.filter((one) => !clean.includes(one) && isNamedIn(standing, one))
    await this.#tellAtFirst(clean, restarted)
    const [first] = grants.values()
    this.#clockOffsetNs = (first?.nowNs ?? 0n) - BigInt(Date.now()) * 1_000_000n
    this.#isHeld = true
    this.#isDraining = false
    this.#hasUnsettled = false
    this.#term += 1
    this.#acquiredMs = performance.now()
    if ([...grants.values()].some(({ isWanted }) => isWanted)) this.wanted()
    return undefined
  }

  /** A server that is lost here is lost before anything was changed. */
  async #tellAtFirst(clean: readonly Member[], restarted: readonly Member[]): Promise<void> {
    const { roster } = this.#options
    const standing = standingOf(roster.standing.version + 1, clean)
    await Promise.all(clean.map((member) => member.ask('setStanding', { standing })))
    roster.adopt(standing)
    this.#clean = clean
    const anything = { kind: 'tree', path: Buffer.alloc(0), from: Buffer.alloc(0) } as const
    for (const { name } of restarted) {
      const note = { member: Buffer.from(name), misses: [anything] }
      await Promise.all(clean.map((member) => member.ask('note', note)))
    }
  }

  async #reconcile(grants: ReadonlyMap<Member, Grant>, clean: readonly Member[]): Promise<void> {
    const paths = new Map<string, Uint8Array>()
    for (const member of clean) {
      for (const path of grants.get(member)?.suspects ?? []) {
        paths.set(Buffer.from(path).toString('latin1'), path)
      }
    }
    if (paths.size === 0) return
    const why = this.#hasUnsettled
      ? 'changes were cut short'
      : 'a mount ended in the middle of changes'
    this.#options.onNote(`${why}: comparing ${paths.size} paths of the mirror`)
    await this.#options.reconcile([...paths.values()], clean)
  }

  #rest(): void {
    if (!this.#isHeld || this.#inFlight > 0) return
    clearTimeout(this.#restTimer)
    if (this.#isDraining || this.#hasUnsettled) void this.#release()
    else this.#restTimer = setTimeout(() => void this.#release(), IDLE_MS)
  }

  async #release(): Promise<void> {
    if (!this.#isHeld || this.#inFlight > 0) return
    clearTimeout(this.#restTimer)
    clearTimeout(this.#turnTimer)
    this.#turnTimer = undefined
    this.#isDraining = true
    await this.#letGo(this.#options.roster.members, !this.#hasUnsettled)
    this.#isHeld = false
    this.#isDraining = false
    this.#options.roster.changed()
  }

  async #letGo(members: readonly Member[], isSettled: boolean): Promise<void> {
    const letGo = async (member: Member) => {
      if (member.isUp) await member.ask('letGo', { what: 'changes', isSettled }).catch(() => {})
    }
    await Promise.all(members.map(letGo))
  }
}

/** Went away, or was healed while it was away, so recently that it may be back at once. */
function isRecent({ downMs }: Member): boolean {
  return performance.now() - downMs < GRACE_MS
}

/** A member that would become dirty by changes now, and need not. */
function isMissed(member: Member, standing: WireStanding): boolean {
  return isNamedIn(standing, member) && isRecent(member)
}
