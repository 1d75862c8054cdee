// What other clients must be told after an operation: which names lead elsewhere, whose attributes or
// content are not as they may have cached them. Writes are told when the writer flushes, closes or
// synchronises: close-to-open.
import { type Push } from '../wire/message.ts'
import { type Found, type WireName, type WireRequestOf } from '../wire/operations.ts'
import { type ServerContext } from './context.ts'

type Changes = (context: Omit<ServerContext, 'signal'>, reply: unknown) => readonly Push[]

const changed = (reference: Uint8Array, hasNewContent: boolean): Push => ({
  name: 'changed',
  body: { reference, hasNewContent },
})

const renamed = (parent: Uint8Array, name: Uint8Array): Push => ({
  name: 'renamed',
  body: { parent, name },
})

/** A name in a folder: it, and the folder's times and links. */
const nameChanged = (parent: Uint8Array, name: Uint8Array) => [
  renamed(parent, name),
  changed(parent, true),
]

type ChangesByName = {
  readonly [Name in WireName]?: (
    request: WireRequestOf<Name>,
    context: Omit<ServerContext, 'signal'>,
    reply: unknown,
  ) => readonly Push[]
}

const named = ({ parent, name }: { readonly parent: Uint8Array; readonly name: Uint8Array }) =>
  nameChanged(parent, name)
const same = ({ reference }: { readonly reference: Uint8Array }) => [changed(reference, false)]

const changes: ChangesByName = {
  symlink: named,
  mknod: named,
  mkdir: named,
  unlink: named,
  rmdir: named,
  create: named,
  rename: ({ parent, name, newParent, newName }) => [
    ...nameChanged(parent, name),
    ...nameChanged(newParent, newName),
  ],
  link: ({ newParent, newName }, _context, reply) => [
    ...nameChanged(newParent, newName),
    changed((reply as Found).reference, false),
  ],
  setattr: ({ reference, changes: wanted }) => [changed(reference, wanted.sizeBytes !== undefined)],
  setxattr: same,
  removexattr: same,
  fallocate: ({ handle }, { files }) => [changed(files.get(handle).reference, true)],
  copy: ({ toHandle }, { files }) => [changed(files.get(toHandle).reference, true)],
  flush: ({ handle }, { files }) => [changed(files.get(handle).reference, true)],
  tmpfile: () => [],
  hold: () => [],
  note: () => [],
  setStanding: ({ standing }) => [{ name: 'standing', body: standing }],
  write: () => [],
  restore: ({ reference }) => [changed(reference, true)],
}

type Describe = (request: unknown, ...known: Parameters<Changes>) => readonly Push[]

/** `nothing` for what only looks. */
export function changesOf(name: WireName, request: unknown): Changes | 'nothing' {
  const describe = changes[name] as Describe | undefined
  if (describe === undefined) return 'nothing'
  return (context, reply) => describe(request, context, reply)
}
