// What the requests of a mount are to the members of a mirror: which name objects and files, where in the
// tree something happens, what a member that is not there misses. Pure.
import { type WireMiss, type WireName } from '../wire/operations.ts'

/** Fields of requests that name objects. */
const REFERENCES = ['parent', 'newParent', 'reference'] as const
const HANDLES = ['handle', 'toHandle'] as const

/** Operations that all members carry out. `open` is one of them when it cuts the file. */
export const CHANGES: ReadonlySet<WireName> = new Set([
  ...(['setattr', 'symlink', 'mknod', 'mkdir', 'unlink', 'rmdir', 'rename', 'link'] as const),
  ...(['create', 'tmpfile', 'write', 'setxattr', 'removexattr', 'fallocate', 'copy'] as const),
])
/** They open a file that was not there: the handle in their requests is new. */
export const CREATING: ReadonlySet<WireName> = new Set(['create', 'tmpfile'])

export type Fields = Readonly<Record<string, unknown>>

export function referencesIn(request: Fields): readonly Uint8Array[] {
  return REFERENCES.flatMap((field) => {
    const value = request[field]
    return value instanceof Uint8Array ? [value] : []
  })
}

export function handlesIn(request: Fields): readonly number[] {
  return HANDLES.flatMap((field) => {
    const value = request[field]
    return typeof value === 'number' ? [value] : []
  })
}

/** The same request with other references. */
export function withReferences(
  request: Fields,
  toReference: (reference: Uint8Array) => Uint8Array,
): Fields {
  const changed: Record<string, unknown> = { ...request }
  for (const field of REFERENCES) {
    const value = request[field]
    if (value instanceof Uint8Array) changed[field] = toReference(value)
  }
  return changed
}

/** Where a name is, or an object by its reference of the mirror. */
export type Spot =
  { readonly parent: Uint8Array; readonly name: Uint8Array } | { readonly reference: Uint8Array }

export interface Missed {
  readonly kind: WireMiss['kind']
  readonly at: Spot
  readonly from?: Spot
}

const RENAME_EXCHANGE = 2

interface Names {
  readonly parent: Uint8Array
  readonly name: Uint8Array
  readonly newParent: Uint8Array
  readonly newName: Uint8Array
  readonly reference: Uint8Array
  readonly flags: number
}

/** What a member misses that does not carry out a change. */
export function missesOf(
  name: WireName,
  fields: Fields,
  referenceOf: (handle: number) => Uint8Array,
): readonly Missed[] {
  const request = fields as unknown as Names
  const old: Spot = { parent: request.parent, name: request.name }
  const fresh: Spot = { parent: request.newParent, name: request.newName }
  switch (name) {
    case 'rename':
      if ((request.flags & RENAME_EXCHANGE) === 0) {
        return [{ kind: 'renamed', at: fresh, from: old }]
      }
      return [
        { kind: 'tree', at: fresh },
        { kind: 'tree', at: old },
      ]
    case 'link':
      return [{ kind: 'linked', at: fresh, from: { reference: request.reference } }]
    case 'tmpfile':
      return []
    case 'setattr':
    case 'setxattr':
    case 'removexattr':
    case 'open':
      return [{ kind: 'object', at: { reference: request.reference } }]
    case 'write':
    case 'fallocate':
    case 'copy': {
      const handle = handlesIn(fields).at(-1) ?? 0
      return [{ kind: 'object', at: { reference: referenceOf(handle) } }]
    }
    default:
      return [{ kind: 'tree', at: old }]
  }
}

/** The names that lose what they lead to. */
export function displacedBy(
  name: WireName,
  fields: Fields,
): readonly { readonly parent: Uint8Array; readonly name: Uint8Array }[] {
  const { parent, name: old, newParent, newName, flags } = fields as unknown as Names
  if (name === 'unlink' || name === 'rmdir') return [{ parent, name: old }]
  if (name !== 'rename' || (flags & RENAME_EXCHANGE) !== 0) return []
  return [{ parent: newParent, name: newName }]
}
