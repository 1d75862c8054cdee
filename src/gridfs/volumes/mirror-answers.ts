// What members of a mirror answer, as answers of the mirror: references and inode numbers of ours. What
// they say of names is remembered.
import { type Answer } from '../client/volume.ts'
import {
  type Found,
  type WireAttributes,
  type WireEntry,
  type WireName,
} from '../wire/operations.ts'
import { toShownInode, type MirrorObject, type MirrorObjects } from './mirror-objects.ts'
import { type Fields } from './mirror-requests.ts'

interface NamedFields {
  readonly parent: Uint8Array
  readonly name: Uint8Array
  readonly newParent: Uint8Array
  readonly newName: Uint8Array
  readonly reference: Uint8Array
}

export class MirrorAnswers {
  readonly #objects: MirrorObjects

  constructor(objects: MirrorObjects) {
    this.#objects = objects
  }

  /** An answer of a member as one of ours; what it says of names is remembered. */
  learn(
    name: WireName,
    request: Fields,
    { index, answer }: { readonly index: number; readonly answer: Answer<WireName> },
  ): Answer<WireName> {
    const named = request as unknown as NamedFields
    const place = (parent: Uint8Array, text: Uint8Array) => ({
      ...{ parent: this.#objects.get(parent), name: Buffer.from(text) },
    })
    const found = (at?: MirrorObject['place']) => {
      const reply = this.found(index, answer.reply as Found, at)
      return { reply, data: answer.data }
    }
    switch (name) {
      case 'lookup':
      case 'create':
      case 'mkdir':
      case 'mknod':
      case 'symlink':
        return found(place(named.parent, named.name))
      case 'link':
        return found(place(named.newParent, named.newName))
      case 'tmpfile':
        return found()
      case 'rename':
        this.#objects.moved(place(named.parent, named.name), place(named.newParent, named.newName))
        return answer
      case 'unlink':
      case 'rmdir':
        this.#objects.displaced(this.#objects.get(named.parent), named.name)
        return answer
      case 'getattr':
      case 'setattr':
      case 'open': {
        const object = this.#objects.get(named.reference)
        object.inode ??= toShownInode(index, (answer.reply as WireAttributes).inode)
        return { ...answer, reply: this.shown(object, answer.reply as WireAttributes) }
      }
      default:
        return answer
    }
  }

  found(index: number, found: Found, place?: MirrorObject['place']): Found {
    const object = this.#objects.adopt(index, found, place)
    return { reference: object.key, attributes: this.shown(object, found.attributes) }
  }

  shown(object: MirrorObject, attributes: WireAttributes): WireAttributes {
    object.seen = attributes
    return { ...attributes, inode: object.inode ?? attributes.inode }
  }

  entry(index: number, parent: MirrorObject, entry: WireEntry): WireEntry {
    const name = Buffer.from(entry.name)
    if (entry.found === undefined) return { ...entry, inode: toShownInode(index, entry.inode) }
    const found = this.found(index, entry.found, { parent, name })
    return { ...entry, inode: found.attributes.inode, found }
  }
}
