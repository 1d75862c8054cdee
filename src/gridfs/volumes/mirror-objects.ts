// The objects of a mirror: a reference of ours, and one for each member that is known of. Ours is the
// reference on the member where the object was first seen, with that member's index before it, so nothing is
// lost when it is forgotten here but the way to the same object on other members.
import { asBuffer } from '../../core/core.ts'
import { FuseError } from '../fuse/errno.ts'
import { type Found, type WireAttributes } from '../wire/operations.ts'

export interface MirrorObject {
  readonly key: Buffer
  /** By the index of the member. */
  readonly references: (Buffer | undefined)[]
  /** Where it was last seen; undefined when it was renamed since. */
  place: { readonly parent: MirrorObject; readonly name: Buffer } | undefined
  seen: WireAttributes | undefined
  /** As shown, whichever member is asked. */
  inode: bigint | undefined
}

const LIMIT = 32_768
const TYPE_MASK = 0o170000
const ROOT = Buffer.of(255)
/** Inode numbers of members other than the first are told apart by it. */
const MEMBER_SHIFT = 55n

export class MirrorObjects {
  readonly root: MirrorObject = newObject(ROOT)
  /** In the order of their last use. By key in latin1. */
  readonly #objects = new Map<string, MirrorObject>()
  readonly #byReference = new Map<string, MirrorObject>()
  readonly #byPlace = new Map<string, MirrorObject>()

  get(key: Uint8Array): MirrorObject {
    if (ROOT.equals(key)) return this.root
    const known = this.#objects.get(text(key))
    if (known !== undefined) return this.#keep(known)
    const [index] = key
    if (index === undefined || key.length < 2) throw new FuseError('ESTALE')
    const object = newObject(asBuffer(key))
    this.pair(object, index, key.subarray(1))
    return this.#keep(object)
  }

  /** The object that a member found, perhaps by its name. */
  adopt(index: number, found: Found, place?: MirrorObject['place']): MirrorObject {
    const known =
      this.#byReference.get(referenceKey(index, found.reference)) ??
      this.#sameAt(index, found, place)
    const object = known ?? this.get(Buffer.concat([Buffer.of(index), found.reference]))
    this.pair(object, index, found.reference)
    object.seen = found.attributes
    object.inode ??= toShownInode(index, found.attributes.inode)
    if (place !== undefined) this.#put(object, place)
    return object === this.root ? object : this.#keep(object)
  }

  /** The object of a member's reference; one that was never seen by its reference alone. */
  byReference(index: number, reference: Uint8Array): MirrorObject {
    return (
      this.#byReference.get(referenceKey(index, reference)) ??
      this.get(Buffer.concat([Buffer.of(index), reference]))
    )
  }

  at(parent: MirrorObject, name: Uint8Array): MirrorObject | undefined {
    return this.#byPlace.get(placeKey(parent, name))
  }

  pair(object: MirrorObject, index: number, reference: Uint8Array): void {
    if (object.references[index]?.equals(reference) === true) return
    this.#unpair(object, index)
    object.references[index] = Buffer.from(reference)
    this.#byReference.set(referenceKey(index, reference), object)
  }

  /** A name leads elsewhere, or nowhere. */
  displaced(parent: MirrorObject, name: Uint8Array): void {
    const object = this.at(parent, name)
    if (object === undefined) return
    this.#byPlace.delete(placeKey(parent, name))
    object.place = undefined
  }

  moved(from: NonNullable<MirrorObject['place']>, to: NonNullable<MirrorObject['place']>): void {
    const object = this.at(from.parent, from.name)
    this.displaced(to.parent, to.name)
    this.displaced(from.parent, from.name)
    if (object !== undefined) this.#put(object, to)
  }

  /** What was known of a member's objects is void. */
  dropMember(index: number): void {
    for (const object of new Set([...this.#byReference.values()])) this.#unpair(object, index)
  }

  #put(object: MirrorObject, place: NonNullable<MirrorObject['place']>): void {
    if (this.at(place.parent, place.name) === object && object.place !== undefined) return
    this.displaced(place.parent, place.name)
    if (object.place !== undefined) {
      this.#byPlace.delete(placeKey(object.place.parent, object.place.name))
    }
    object.place = place
    this.#byPlace.set(placeKey(place.parent, place.name), object)
  }

  /** What has the same name, and is the same in all that members have in common, is the same. */
  #sameAt(index: number, found: Found, place: MirrorObject['place']): MirrorObject | undefined {
    if (place === undefined) return undefined
    const object = this.at(place.parent, place.name)
    if (object === undefined || object.references[index] !== undefined) return undefined
    return isSame(object, found.attributes) ? object : undefined
  }

  #keep(object: MirrorObject): MirrorObject {
    const key = text(object.key)
    this.#objects.delete(key)
    this.#objects.set(key, object)
    if (this.#objects.size <= LIMIT) return object
    for (const [oldest, dropped] of this.#objects) {
      this.#objects.delete(oldest)
      for (const index of dropped.references.keys()) this.#unpair(dropped, index)
      if (dropped.place !== undefined) this.displaced(dropped.place.parent, dropped.place.name)
      break
    }
    return object
  }

  #unpair(object: MirrorObject, index: number): void {
    const reference = object.references[index]
    if (reference === undefined) return
    this.#byReference.delete(referenceKey(index, reference))
    object.references[index] = undefined
  }
}

/** Whether attributes on another member can be those of an object: changes have the same time everywhere. */
export function isSame({ seen }: MirrorObject, attributes: WireAttributes): boolean {
  return (
    seen !== undefined &&
    (seen.mode & TYPE_MASK) === (attributes.mode & TYPE_MASK) &&
    seen.modifiedNs === attributes.modifiedNs
  )
}

export function toShownInode(index: number, inode: bigint): bigint {
  return BigInt.asIntN(64, inode ^ (BigInt(index) << MEMBER_SHIFT))
}

function newObject(key: Buffer): MirrorObject {
  return { key, references: [], place: undefined, seen: undefined, inode: undefined }
}

function text(bytes: Uint8Array): string {
  return asBuffer(bytes).toString('latin1')
}

const referenceKey = (index: number, reference: Uint8Array) => `${index} ${text(reference)}`
const placeKey = (parent: MirrorObject, name: Uint8Array) => `${text(parent.key)}/${text(name)}`
