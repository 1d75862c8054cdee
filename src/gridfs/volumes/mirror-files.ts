// The open files of a mirror: under the caller's number on every member that needs them, opened there when
// they are first used.
import { constants } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { FuseError } from '../fuse/errno.ts'
import { type WireRequestOf } from '../wire/operations.ts'
import { type Member } from './member.ts'
import { isSame, type MirrorObject, type MirrorObjects } from './mirror-objects.ts'
import { type Roster } from './roster.ts'

export interface MirrorFile {
  readonly handle: number
  readonly object: MirrorObject
  readonly flags: number
  /** On which members, by index; a promise until it is. */
  readonly opened: Map<number, Promise<void> | 'open'>
}

/** A file that is being written differs for moments. */
const TRIALS = 10
const TRIAL_MS = 20

export class MirrorFiles {
  readonly #objects: MirrorObjects
  readonly #roster: Roster
  readonly #files = new Map<number, MirrorFile>()

  constructor(objects: MirrorObjects, roster: Roster) {
    this.#objects = objects
    this.#roster = roster
  }

  /** Throws EBADF for a handle that is not open. */
  get(handle: number): MirrorFile {
    const file = this.#files.get(handle)
    if (file === undefined) throw new FuseError('EBADF')
    return file
  }

  add(handle: number, object: MirrorObject, flags: number): MirrorFile {
    const file = { handle, object, flags: flags & ~constants.O_TRUNC, opened: new Map() }
    this.#files.set(handle, file)
    return file
  }

  remove(handle: number): MirrorFile | undefined {
    const file = this.#files.get(handle)
    this.#files.delete(handle)
    return file
  }

  of(object: MirrorObject): readonly MirrorFile[] {
    return [...this.#files.values()].filter((file) => file.object === object)
  }

  /** What a member that does not know us any more must open. */
  openOn(index: number): WireRequestOf<'reclaim'>['open'] {
    return [...this.#files.values()].flatMap(({ handle, object, flags, opened }) => {
      const reference = object.references[index]
      return reference === undefined || !opened.has(index) ? [] : [{ handle, reference, flags }]
    })
  }

  lostOn(index: number, handles: readonly number[]): void {
    for (const handle of handles) this.#files.get(handle)?.opened.delete(index)
  }

  /** Everything must be opened anew there, as other objects perhaps. */
  dropMember(member: Member): void {
    for (const { handle, opened } of this.#files.values()) {
      if (opened.delete(member.index)) member.call('release', { handle }).catch(() => {})
    }
  }

  /**
   * Has it open on a member; undefined when it is already. `isHeld`: nobody changes the mirror meanwhile.
   * Throws ESTALE when it is not to be found there.
   */
  ensure(file: MirrorFile, member: Member, isHeld = false): Promise<void> | undefined {
    const { handle, flags, opened } = file
    const known = opened.get(member.index)
    if (known !== undefined) return known === 'open' ? undefined : known
    const open = async () => {
      const reference = await this.reference(file.object, member, isHeld)
      await member.ask('open', { reference, handle, flags })
      opened.set(member.index, 'open')
    }
    const opening = open()
    opened.set(member.index, opening)
    opening.catch(() => opened.delete(member.index))
    return opening
  }

  /** An object's reference on a member. Throws ESTALE when it is not to be found there. */
  async reference(object: MirrorObject, member: Member, isHeld = false): Promise<Buffer> {
    const known = object.references[member.index]
    if (known !== undefined) return known
    const other = this.#roster.members.find(
      (one) => one.isUp && this.#roster.isClean(one) && object.references[one.index] !== undefined,
    )
    try {
      return await (other === undefined
        ? this.#byPlace(object, member)
        : this.#byPath(object, { from: other, to: member, isHeld }))
    } catch (error) {
      if (error instanceof FuseError && error.code === 'ENOENT') throw new FuseError('ESTALE')
      throw error
    }
  }

  /** Where one member has it the other has it, too. */
  async #byPath(
    object: MirrorObject,
    { from, to, isHeld }: { readonly from: Member; readonly to: Member; readonly isHeld: boolean },
  ): Promise<Buffer> {
    const reference = object.references[from.index] ?? Buffer.alloc(0)
    for (let trial = 1; ; trial += 1) {
      const { reply: path } = await from.ask('path', { reference })
      const { reply: found } = await to.ask('resolve', { path })
      // Somebody may have put another file there in between, unless it was us.
      if (!isHeld) object.seen = (await from.ask('getattr', { reference })).reply
      if (isHeld || isSame(object, found.attributes)) {
        this.#objects.pair(object, to.index, found.reference)
        return Buffer.from(found.reference)
      }
      if (trial === TRIALS) throw new FuseError('ESTALE')
      await delay(TRIAL_MS)
    }
  }

  /** No member that knew it is left: by its last name, when everything else is the same, too. */
  async #byPlace(object: MirrorObject, member: Member): Promise<Buffer> {
    if (object.place === undefined) throw new FuseError('ESTALE')
    const { parent, name } = object.place
    const request = { parent: await this.reference(parent, member), name }
    const { reply: found } = await member.ask('lookup', request)
    if (!isSame(object, found.attributes)) throw new FuseError('ESTALE')
    this.#objects.pair(object, member.index, found.reference)
    return Buffer.from(found.reference)
  }
}
