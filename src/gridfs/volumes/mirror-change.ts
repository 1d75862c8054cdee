// Changes of a mirror: carried out by all clean members at the same time, told as done when a majority has
// done them. Invariant: before a change is told, every member that misses it is known to the others as
// dirty, and what it misses is written down there.
import { constants } from 'node:fs'
import { asBuffer, errnoOf } from '../../core/core.ts'
import { FuseError } from '../fuse/errno.ts'
import { joinPath } from '../path-text.ts'
import { type Answer, type CallOptions } from '../client/volume.ts'
import { type WireMiss, type WireName, type WireRequestOf } from '../wire/operations.ts'
import { isLost, type Member } from './member.ts'
import { type MirrorFile, type MirrorFiles } from './mirror-files.ts'
import { type MirrorHold } from './mirror-hold.ts'
import { type MirrorObjects } from './mirror-objects.ts'
import {
  CREATING,
  displacedBy,
  handlesIn,
  missesOf,
  referencesIn,
  withReferences,
  type Fields,
  type Missed,
  type Spot,
} from './mirror-requests.ts'
import { type Roster } from './roster.ts'

export interface ChangeSite {
  readonly roster: Roster
  readonly hold: MirrorHold
  readonly objects: MirrorObjects
  readonly files: MirrorFiles
  /** Makes paths on members as they are on the first of them. */
  readonly reconcile: (paths: readonly Uint8Array[], members: readonly Member[]) => Promise<void>
}

export interface Done {
  readonly answer: Answer<WireName>
  readonly done: readonly Member[]
}

interface Outcome {
  readonly member: Member
  readonly answer?: Answer<WireName>
  readonly error?: unknown
}

export class MirrorChanges {
  readonly #site: ChangeSite
  /** What was written down for dirty members since the hold was taken, by member, kind and place. */
  readonly #noted = new Map<string, Promise<void>>()
  #notedTerm = 0

  constructor(site: ChangeSite) {
    this.#site = site
  }

  /** The answer of the first member that has done it, and all that have. */
  async carryOut(name: WireName, request: Fields, options: CallOptions): Promise<Done> {
    for (;;) {
      const done = await this.#carryOutOnce(name, request, options)
      if (done !== 'not held') return done
    }
  }

  #carryOutOnce(name: WireName, request: Fields, options: CallOptions): Promise<Done | 'not held'> {
    const { hold } = this.#site
    return hold.during(options.signal, async () => {
      const members = hold.clean
      // Nothing is waited for that is ready: writes leave in the order in which they come.
      const preparing = this.#prepare(name, request, members)
      if (preparing.length > 0) await Promise.all(preparing)
      const noting = this.#noteFor(this.#absent(), name, request)
      if (noting !== undefined) await noting
      const stampNs = hold.nextStampNs()
      const { data = [] } = options
      const outcomes = await Promise.all(
        members.map((member) => this.#carryOutOn(member, { name, request, data, stampNs })),
      )
      if (!outcomes.every(({ error }) => errnoOf(error) === 'ENOLCK')) {
        return this.#judge(name, request, outcomes)
      }
      // We were silent for too long, and another mount was let in: nobody has done it.
      hold.expired()
      return 'not held'
    })
  }

  /** Opens a file on all clean members. */
  openEverywhere(file: MirrorFile, signal: AbortSignal | undefined): Promise<void> {
    const { hold, files } = this.#site
    return hold.during(signal, async () => {
      const opening = hold.clean.map((member) => files.ensure(file, member, true))
      for (const one of await Promise.allSettled(opening)) {
        if (one.status === 'rejected' && !isLost(one.reason)) throw one.reason
      }
    })
  }

  /** Members that take no part. */
  #absent(): readonly Member[] {
    const { roster, hold } = this.#site
    return roster.members.filter((member) => !hold.clean.includes(member))
  }

  /** Finds on all members what the request names, and has files open that it uses or is about to unname. */
  #prepare(
    name: WireName,
    request: Fields,
    members: readonly Member[],
  ): readonly Promise<unknown>[] {
    const { objects, files } = this.#site
    const preparing: Promise<unknown>[] = []
    for (const reference of referencesIn(request)) {
      const object = objects.get(reference)
      for (const member of members) {
        if (object.references[member.index] === undefined) {
          preparing.push(files.reference(object, member, true))
        }
      }
    }
    const handles = CREATING.has(name) || name === 'open' ? [] : handlesIn(request)
    const needed = handles.map((handle) => files.get(handle))
    for (const { parent, name: old } of displacedBy(name, request)) {
      const object = objects.at(objects.get(parent), old)
      if (object !== undefined) needed.push(...files.of(object))
    }
    for (const file of needed) {
      for (const member of members) {
        const opening = files.ensure(file, member, true)
        if (opening !== undefined) preparing.push(opening)
      }
    }
    return preparing
  }

  async #carryOutOn(
    member: Member,
    change: {
      readonly name: WireName
      readonly request: Fields
      readonly data: readonly Uint8Array[]
      readonly stampNs: bigint
    },
  ): Promise<Outcome> {
    const { name, data, stampNs } = change
    const { objects } = this.#site
    try {
      const request = withReferences(change.request, (reference) => {
        const known = objects.get(reference).references[member.index]
        if (known === undefined) throw new FuseError('ESTALE')
        return known
      })
      const wanted = request as WireRequestOf<WireName>
      return { member, answer: await member.call(name, wanted as never, { data, stampNs }) }
    } catch (error) {
      return { member, error }
    }
  }

  async #judge(name: WireName, request: Fields, outcomes: readonly Outcome[]): Promise<Done> {
    const { roster, hold } = this.#site
    const done = outcomes.filter(({ answer }) => answer !== undefined)
    const lost = outcomes.filter(({ error }) => isLost(error))
    const failed = outcomes.filter(({ error }) => error !== undefined && !isLost(error))
    if (done.length > 0 && done.length < roster.majority && failed.length > 0) {
      await this.#undo(name, request, { done, failed })
      throw failed[0]?.error
    }
    const missing = done.length === 0 ? lost : [...lost, ...failed]
    if (missing.length > 0) {
      try {
        await Promise.all(missing.map(({ member }) => hold.exclude(member)))
        const noting = this.#noteFor(
          missing.map(({ member }) => member),
          name,
          request,
        )
        if (noting !== undefined) await noting
      } catch (error) {
        hold.unsettled()
        throw error
      }
    }
    const [first] = done
    if (first?.answer === undefined) throw (failed[0] ?? lost[0])?.error
    this.#learn(done)
    return { answer: first.answer, done: done.map(({ member }) => member) }
  }

  /** Some have done what others cannot: all of them are made as those that cannot. */
  async #undo(
    name: WireName,
    request: Fields,
    { done, failed }: { readonly done: readonly Outcome[]; readonly failed: readonly Outcome[] },
  ): Promise<void> {
    const { hold, reconcile } = this.#site
    const members = [...failed, ...done].map(({ member }) => member)
    try {
      const misses = await this.#describe(this.#missed(name, request))
      await reconcile(
        misses.flatMap(({ path, from }) => [path, from]),
        members,
      )
    } catch {
      hold.unsettled()
    }
  }

  /** What each member calls the object that was made. */
  #learn(done: readonly Outcome[]): void {
    const { objects } = this.#site
    const [first, ...rest] = done
    const made = foundIn(first)
    if (first === undefined || made === undefined) return
    const object = objects.byReference(first.member.index, made)
    for (const outcome of rest) {
      const same = foundIn(outcome)
      if (same !== undefined) objects.pair(object, outcome.member.index, same)
    }
  }

  #missed(name: WireName, request: Fields): readonly Missed[] {
    const { files } = this.#site
    return missesOf(name, request, (handle) => files.get(handle).object.key)
  }

  /** undefined when nothing is to be written down that is not already. */
  #noteFor(
    absent: readonly Member[],
    name: WireName,
    request: Fields,
  ): Promise<unknown> | undefined {
    const { hold } = this.#site
    if (absent.length === 0) return undefined
    if (this.#notedTerm !== hold.term) this.#noted.clear()
    this.#notedTerm = hold.term
    const noting = absent.flatMap((member) =>
      this.#missed(name, request).map((miss) => {
        const key = `${member.index} ${miss.kind} ${spotKey(miss.at)} ${spotKey(miss.from)}`
        const known = this.#noted.get(key)
        if (known !== undefined) return known
        const isRepeated = 'reference' in miss.at
        const writing = this.#write(member, miss)
        if (isRepeated) this.#noted.set(key, writing)
        writing.catch(() => this.#noted.delete(key))
        return writing
      }),
    )
    return Promise.all(noting)
  }

  async #write(member: Member, miss: Missed): Promise<void> {
    const { hold, roster } = this.#site
    const misses = await this.#describe([miss])
    if (misses.length === 0) return
    const request = { member: Buffer.from(member.name), misses }
    const written = await Promise.allSettled(hold.clean.map((one) => one.call('note', request)))
    const count = written.filter(({ status }) => status === 'fulfilled').length
    if (count < roster.majority) throw new FuseError('EIO', 'no majority has written it down')
  }

  /** Misses with their paths; without those of what has no name any more. */
  async #describe(missed: readonly Missed[]): Promise<readonly WireMiss[]> {
    const misses: WireMiss[] = []
    for (const { kind, at, from } of missed) {
      const path = await this.#pathOf(at)
      const source = from === undefined ? Buffer.alloc(0) : await this.#pathOf(from)
      if (path === undefined) continue
      misses.push({ kind: source === undefined ? 'tree' : kind, path, from: source ?? path })
    }
    return misses
  }

  async #pathOf(spot: Spot): Promise<Buffer | undefined> {
    if ('name' in spot) {
      const folder = await this.#pathOf({ reference: spot.parent })
      return folder === undefined ? undefined : joinPath(folder, spot.name)
    }
    const object = this.#site.objects.get(spot.reference)
    const member = this.#site.hold.clean.find(
      ({ index, isUp }) => isUp && object.references[index] !== undefined,
    )
    if (member === undefined) return undefined
    const reference = object.references[member.index] ?? Buffer.alloc(0)
    try {
      return asBuffer((await member.ask('path', { reference })).reply)
    } catch (error) {
      if (errnoOf(error) === 'ESTALE' || errnoOf(error) === 'ENOENT') return undefined
      throw error
    }
  }
}

/** Whether an opening changes the file. */
export function isCut({ flags }: Fields): boolean {
  return typeof flags === 'number' && (flags & constants.O_TRUNC) !== 0
}

function spotKey(spot: Spot | undefined): string {
  if (spot === undefined) return ''
  if ('reference' in spot) return asBuffer(spot.reference).toString('latin1')
  return `${asBuffer(spot.parent).toString('latin1')}/${asBuffer(spot.name).toString('latin1')}`
}

function foundIn(outcome: Outcome | undefined): Uint8Array | undefined {
  const reply = outcome?.answer?.reply as { readonly reference?: unknown } | undefined
  return reply?.reference instanceof Uint8Array ? reply.reference : undefined
}
