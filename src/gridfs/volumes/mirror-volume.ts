// Several servers that hold the same: reads go to the nearest, changes to all. References are ours (see
// mirror-objects), handles are the caller's on all members. PROTOCOL.md §7.
import { type FileLock } from '../fuse/control-operations.ts'
import { FuseError } from '../fuse/errno.ts'
import { type Answer, type CallOptions, type Volume, type VolumeOptions } from '../client/volume.ts'
import { type Push } from '../wire/message.ts'
import {
  type Found,
  type WireName,
  type WireReplyOf,
  type WireRequestOf,
} from '../wire/operations.ts'
import { MirrorAnswers } from './mirror-answers.ts'
import { isLost, Member } from './member.ts'
import { isCut, MirrorChanges } from './mirror-change.ts'
import { MirrorFiles, type MirrorFile } from './mirror-files.ts'
import { MirrorHold } from './mirror-hold.ts'
import { MirrorObjects, toShownInode } from './mirror-objects.ts'
import {
  CHANGES,
  CREATING,
  handlesIn,
  referencesIn,
  withReferences,
  type Fields,
} from './mirror-requests.ts'
import { healMirror, type HealOptions, type HealReport } from './mirror-heal.ts'
import { MirrorListings } from './mirror-listings.ts'
import { Roster } from './roster.ts'
import { reconcilePaths } from './tree-sync.ts'
import { memberName, type MirrorSource } from './volume-source.ts'

/** A mirror begins without those that have not answered by then. */
const FIRST_MS = 3000
const RETRY_MS = 500
const VERIFIER = Buffer.alloc(32)

export class MirrorVolume implements Volume {
  readonly ready: Promise<WireReplyOf<'hello'>>
  readonly #options: VolumeOptions
  readonly #roster: Roster
  readonly #objects = new MirrorObjects()
  readonly #files: MirrorFiles
  readonly #hold: MirrorHold
  readonly #changes: MirrorChanges
  readonly #answers = new MirrorAnswers(this.#objects)
  readonly #listings: MirrorListings

  constructor(source: MirrorSource, options: VolumeOptions) {
    this.#options = options
    const members = source.members.map((one, index) => this.#member(one, index))
    this.#roster = new Roster(members, options.softMs, (member) => {
      this.#objects.dropMember(member.index)
      this.#files.dropMember(member)
      this.#pairRoots()
    })
    this.#files = new MirrorFiles(this.#objects, this.#roster)
    this.#listings = new MirrorListings({
      ...{ objects: this.#objects, files: this.#files, answers: this.#answers },
    })
    const { onNote, softMs } = options
    const reconcile = (paths: readonly Uint8Array[], among: readonly Member[]) =>
      reconcilePaths(paths, among)
    this.#hold = new MirrorHold({ roster: this.#roster, softMs, onNote, reconcile })
    this.#changes = new MirrorChanges({
      ...{ roster: this.#roster, hold: this.#hold, objects: this.#objects, files: this.#files },
      reconcile,
    })
    // What an earlier process of the mount has opened.
    for (const { handle, reference, flags } of options.openFiles()) {
      this.#files.add(handle, this.#objects.get(reference), flags)
    }
    this.ready = this.#begin()
    this.ready.catch(() => {})
  }

  call<Name extends WireName>(
    name: Name,
    request: WireRequestOf<Name>,
    { data = [], caller, signal = caller?.signal }: CallOptions = {},
  ): Promise<Answer<Name>> {
    // The kernel is answered when a majority has done it: nothing is promised ahead.
    const options = signal === undefined ? { data } : { data, signal }
    return this.#route(name, request as Fields, options) as Promise<Answer<Name>>
  }

  setPatience(isPatient: boolean): void {
    this.#roster.isPatient = isPatient
  }

  state(): ReturnType<Volume['state']> {
    return this.#roster.members.map((member) =>
      member.connection.link.show(member.name, this.#roster.isClean(member)),
    )
  }

  heal(options: HealOptions): Promise<HealReport> {
    return healMirror({ roster: this.#roster, hold: this.#hold }, options)
  }

  close(): void {
    void this.#hold.close().finally(() => {
      for (const member of this.#roster.members) member.close()
    })
  }

  #member(source: MirrorSource['members'][number], index: number): Member {
    const { credentials, softMs, onNote } = this.#options
    const member: Member = new Member({
      ...{ index, source, name: memberName(source), credentials, softMs, onNote },
      onPush: (push) => this.#onPush(member, push),
      openFiles: () => this.#files.openOn(index),
      onLost: (handles) => this.#files.lostOn(index, handles),
      onUp: () => this.#onUp(member),
      onDown: () => {
        this.#hold.memberIsDown(member)
        this.#roster.changed()
      },
    })
    return member
  }

  #onUp(member: Member): void {
    member.connection.setPatience(this.#roster.isPatient)
    this.#hold.memberIsUp(member)
    this.#pairRoots()
    member.ask('standing', {}).then(
      ({ reply }) => this.#roster.adopt(reply),
      () => {}, // it is down again
    )
    this.#roster.changed()
  }

  #pairRoots(): void {
    for (const { index, hello } of this.#roster.members) {
      if (hello === undefined) continue
      this.#objects.pair(this.#objects.root, index, hello.root.reference)
      this.#objects.root.inode ??= toShownInode(index, hello.root.attributes.inode)
    }
  }

  async #begin(): Promise<WireReplyOf<'hello'>> {
    const { members, majority } = this.#roster
    const refused = Promise.all(members.map(({ connection }) => connection.ready))
    const endMs = performance.now() + FIRST_MS
    const isComplete = () => members.every(({ isUp }) => isUp)
    const isEnough = () =>
      members.filter(({ isUp }) => isUp).length >= majority && performance.now() > endMs
    refused.catch(() => {})
    while (!isComplete() && !isEnough()) {
      await Promise.race([this.#roster.untilChange(RETRY_MS), refused])
    }
    const standings = await Promise.allSettled(
      members.filter(({ isUp }) => isUp).map((member) => member.ask('standing', {})),
    )
    for (const one of standings) if (one.status === 'fulfilled') this.#roster.adopt(one.value.reply)
    const hello = await this.#roster.onNearest(undefined, (member) => Promise.resolve(member.hello))
    if (hello === undefined) throw new FuseError('ENOTCONN')
    const { root, ...rest } = hello
    const attributes = this.#answers.shown(this.#objects.root, root.attributes)
    return { ...rest, verifier: VERIFIER, root: { reference: this.#objects.root.key, attributes } }
  }

  #onPush(member: Member, push: Push): void {
    const { onPush } = this.#options
    switch (push.name) {
      case 'wanted':
        if (push.body.what === 'changes') this.#hold.wanted()
        return
      case 'standing':
        this.#roster.adopt(push.body)
        return
      case 'changed': {
        const { key } = this.#objects.byReference(member.index, push.body.reference)
        onPush({ name: 'changed', body: { ...push.body, reference: key } })
        return
      }
      case 'renamed': {
        const parent = this.#objects.byReference(member.index, push.body.parent)
        this.#objects.displaced(parent, push.body.name)
        onPush({ name: 'renamed', body: { parent: parent.key, name: push.body.name } })
        return
      }
      default:
        push satisfies never
    }
  }

  async #route(name: WireName, request: Fields, options: CallOptions): Promise<Answer<WireName>> {
    if (CHANGES.has(name) || (name === 'open' && isCut(request))) {
      return this.#change(name, request, options)
    }
    switch (name) {
      case 'open':
        return this.#open(request, options)
      case 'release':
        return this.#release(request)
      case 'flush':
      case 'fsync':
        return this.#everywhere(name, request, options)
      case 'testLock':
      case 'setLock':
      case 'releaseLocks':
        return this.#lock(name, request, options)
      case 'readdir':
        return this.#roster.onNearest(options.signal, async (member) => ({
          ...{ reply: await this.#listings.listOn(member, request as never, options), data: [] },
        }))
      default:
        return this.#read(name, request, options)
    }
  }

  async #change(name: WireName, request: Fields, options: CallOptions): Promise<Answer<WireName>> {
    const { answer, done } = await this.#changes.carryOut(name, request, options)
    const index = done[0]?.index ?? 0
    const shown = this.#answers.learn(name, request, { index, answer })
    if (!CREATING.has(name) && name !== 'open') return shown
    const { reference } = (CREATING.has(name) ? shown.reply : request) as Pick<Found, 'reference'>
    const [handle = 0] = handlesIn(request)
    const file = this.#files.add(handle, this.#objects.get(reference), Number(request['flags']))
    for (const member of done) file.opened.set(member.index, 'open')
    return shown
  }

  async #open(request: Fields, options: CallOptions): Promise<Answer<WireName>> {
    const [handle = 0] = handlesIn(request)
    const object = this.#objects.get(request['reference'] as Uint8Array)
    const file = this.#files.add(handle, object, Number(request['flags']))
    try {
      // What may be written is opened by all, as long as it has a name by which they find it.
      const isWritable = (file.flags & ACCESS_MODE) !== 0
      if (isWritable) await this.#changes.openEverywhere(file, options.signal)
      else
        await this.#roster.onNearest(options.signal, (member) => this.#files.ensure(file, member))
      return await this.#read('getattr', { reference: object.key }, options)
    } catch (error) {
      await this.#release(request)
      throw error
    }
  }

  async #release(request: Fields): Promise<Answer<WireName>> {
    const [handle = 0] = handlesIn(request)
    const file = this.#files.remove(handle)
    const members = this.#openedOn(file)
    await Promise.all(members.map((member) => member.ask('release', { handle }).catch(() => {})))
    return { reply: {}, data: [] }
  }

  #openedOn(file: MirrorFile | undefined): readonly Member[] {
    const { members } = this.#roster
    return members.filter(({ index, isUp }) => isUp && file?.opened.has(index) === true)
  }

  /** Done by a majority; what only tells others is done where it can be. */
  async #everywhere(
    name: 'flush' | 'fsync',
    request: Fields,
    options: CallOptions,
  ): Promise<Answer<WireName>> {
    const [handle = 0] = handlesIn(request)
    const file = this.#files.get(handle)
    for (;;) {
      const members = name === 'flush' ? this.#openedOn(file) : this.#usable()
      const done = await Promise.allSettled(
        members.map(async (member) => {
          await this.#files.ensure(file, member)
          return member.ask(name, request as never, options)
        }),
      )
      const answers = done.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
      const fault = done.find((one) => one.status === 'rejected' && !isLost(one.reason))
      if (fault?.status === 'rejected') throw fault.reason
      const [answer] = answers
      const isEnough = name === 'flush' || answers.length >= this.#roster.majority
      if (isEnough) return answer ?? { reply: {}, data: [] }
      await this.#roster.untilChange(RETRY_MS, options.signal)
    }
  }

  #usable(): readonly Member[] {
    return this.#roster.members.filter((one) => one.isUp && this.#roster.isClean(one))
  }

  /** Locks are taken on one member after the other: who has the first will have them all. */
  async #lock(
    name: 'testLock' | 'setLock' | 'releaseLocks',
    request: Fields,
    options: CallOptions,
  ): Promise<Answer<WireName>> {
    const [handle = 0] = handlesIn(request)
    const file = this.#files.get(handle)
    if (name === 'testLock') {
      return this.#roster.onNearest(options.signal, async (member) => {
        await this.#files.ensure(file, member)
        return member.ask(name, request as never, options)
      })
    }
    const isTaken = name === 'setLock' && (request['lock'] as FileLock).type !== 'unlock'
    const locked: Member[] = []
    for (const member of isTaken ? this.#usable() : this.#openedOn(file)) {
      try {
        await this.#files.ensure(file, member)
        await member.ask(name, request as never, options)
        locked.push(member)
      } catch (error) {
        if (isLost(error)) continue
        const lock = { ...(request['lock'] as FileLock), type: 'unlock' }
        const undo = { ...request, lock, waits: false }
        await Promise.all(locked.map((one) => one.ask('setLock', undo as never).catch(() => {})))
        throw error
      }
    }
    return { reply: {}, data: [] }
  }

  async #read(name: WireName, request: Fields, options: CallOptions): Promise<Answer<WireName>> {
    return this.#roster.onNearest(options.signal, async (member) => {
      const wanted = await this.#toMember(request, member)
      const answer = await member.ask(name, wanted as never, options)
      return this.#answers.learn(name, request, { index: member.index, answer })
    })
  }

  async #toMember(request: Fields, member: Member): Promise<Fields> {
    for (const reference of referencesIn(request)) {
      await this.#files.reference(this.#objects.get(reference), member)
    }
    for (const handle of handlesIn(request)) {
      await this.#files.ensure(this.#files.get(handle), member)
    }
    return withReferences(request, (reference) => {
      const known = this.#objects.get(reference).references[member.index]
      if (known === undefined) throw new FuseError('ESTALE')
      return known
    })
  }
}

const ACCESS_MODE = 3
