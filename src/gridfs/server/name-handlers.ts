// Operations on names and attributes, carried out on the export's file system. The kernel of the client has
// checked permissions; what is made belongs to whom the caller is mapped to.
import {
  chmodSync,
  chownSync,
  mkdirSync,
  renameSync,
  rmdirSync,
  statfsSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
} from 'node:fs'
import { asBuffer } from '../../core/core.ts'
import {
  asOwner,
  getxattr,
  listxattr,
  mknodEncoded,
  readlinkOf,
  removexattr,
  renameWithFlags,
  setTimes,
  setxattr,
} from '../../host/host.ts'
import { type Found, type WireAttributes, type WireCaller } from '../wire/operations.ts'
import { FuseError } from '../fuse/errno.ts'
import { type ServerContext, type ServerHandlers } from './context.ts'
import { HIDDEN_FOLDER } from './orphans.ts'

const SETGID = 0o2000
const GROUP_EXECUTE = 0o010
const PRIVILEGES = 0o6000
const TYPE_MASK = 0o170000
const TYPE_FILE = 0o100000
const TYPE_SYMLINK = 0o120000
const PERMISSIONS = 0o7777
const ORDINARY_PERMISSIONS = 0o777
const RENAME_EXCHANGE = 2
const HIDDEN = Buffer.from(HIDDEN_FOLDER)

type Context = Omit<ServerContext, 'signal'>

/** The path of a name that a client may use. */
export function clientPath({ objects }: ServerContext, parent: Uint8Array, name: Uint8Array) {
  if (HIDDEN.equals(name) && objects.root.equals(parent)) throw new FuseError('ENOENT')
  return objects.pathOf(parent, name)
}

/** Attributes without the names that only the server gave. */
function shown({ orphans }: Context, reference: Uint8Array, attributes: WireAttributes) {
  const hidden = orphans.hiddenLinks(reference)
  return hidden === 0 ? attributes : { ...attributes, linkCount: attributes.linkCount - hidden }
}

/** As `shown`, for what was found. */
export function shownFound(context: ServerContext, found: Found): Found {
  return { ...found, attributes: shown(context, found.reference, found.attributes) }
}

export function attributesOf(context: Context, reference: Uint8Array): WireAttributes {
  return shown(context, reference, context.objects.attributes(reference))
}

/**
 * Makes something as its owner's. The kernel decides about the group in a setgid folder; what a umask of
 * ours took from the mode is given back.
 */
export function makeOwned<T>(
  context: ServerContext,
  wanted: { readonly caller: WireCaller; readonly mode: number },
  make: () => { readonly made: Found; readonly result: T },
): { readonly found: Found; readonly result: T } {
  const { made, result } = asOwner(context.mapCaller(wanted.caller), make)
  const { reference, attributes } = made
  const isSymlink = (attributes.mode & TYPE_MASK) === TYPE_SYMLINK
  const missing = wanted.mode & ORDINARY_PERMISSIONS & ~attributes.mode
  if (isSymlink || missing === 0) return { found: made, result }
  chmodSync(context.objects.path(reference), (attributes.mode & PERMISSIONS) | missing)
  return { found: { reference, attributes: context.objects.attributes(reference) }, result }
}

function make(
  context: ServerContext,
  wanted: {
    readonly parent: Uint8Array
    readonly name: Uint8Array
    readonly caller: WireCaller
    readonly mode: number
  },
  create: (path: Buffer) => void,
): Found {
  return makeOwned(context, wanted, () => {
    create(clientPath(context, wanted.parent, wanted.name))
    return { made: context.objects.find(wanted.parent, wanted.name), result: undefined }
  }).found
}

export const nameHandlers = {
  lookup(context, { parent, name }) {
    clientPath(context, parent, name)
    return shownFound(context, context.objects.find(parent, name))
  },
  getattr: (context, { reference }) => attributesOf(context, reference),
  readlink: ({ objects }, { reference }) => readlinkOf(objects.descriptor(reference)),
  symlink: (context, { target, ...wanted }) =>
    make(context, { ...wanted, mode: 0 }, (path) => symlinkSync(asBuffer(target), path)),
  mknod: (context, wanted) =>
    make(context, wanted, (path) => mknodEncoded(path, wanted.mode, wanted.device)),
  mkdir: (context, wanted) => make(context, wanted, (path) => mkdirSync(path, wanted.mode)),
  unlink(context, { parent, name }) {
    const path = clientPath(context, parent, name)
    if (!keep(context, parent, name, 'move')) unlinkSync(path)
    return {}
  },
  rmdir(context, { parent, name }) {
    rmdirSync(clientPath(context, parent, name))
    return {}
  },
  rename(context, { parent, name, newParent, newName, flags }) {
    const from = clientPath(context, parent, name)
    const to = clientPath(context, newParent, newName)
    if ((flags & RENAME_EXCHANGE) === 0) keep(context, newParent, newName, 'link')
    if (flags === 0) renameSync(from, to)
    else renameWithFlags(from, to, flags)
    return {}
  },
  link(context, { reference, newParent, newName }) {
    const to = clientPath(context, newParent, newName)
    context.objects.link(reference, to)
    return { reference, attributes: attributesOf(context, reference) }
  },
  setattr(context, { reference, caller: _, changes }) {
    const { objects } = context
    const path = objects.path(reference)
    const before = objects.attributes(reference)
    if (changes.uid !== undefined || changes.gid !== undefined) {
      const mapped = context.mapCaller({
        uid: changes.uid ?? before.uid,
        gid: changes.gid ?? before.gid,
      })
      chownSync(
        path,
        changes.uid === undefined ? before.uid : mapped.uid,
        changes.gid === undefined ? before.gid : mapped.gid,
      )
    }
    if (changes.sizeBytes !== undefined) truncateSync(path, changes.sizeBytes)
    if (changes.mode !== undefined) chmodSync(path, changes.mode & PERMISSIONS)
    else if (changes.killsPrivileges) killPrivileges(context, reference)
    const [accessed, modified] = [toTime(changes.accessed), toTime(changes.modified)]
    if (accessed !== undefined || modified !== undefined) setTimes(path, accessed, modified)
    return attributesOf(context, reference)
  },
  statfs({ objects }, { reference }) {
    const status = statfsSync(objects.path(reference))
    return {
      ...{ blocks: status.blocks, freeBlocks: status.bfree, availableBlocks: status.bavail },
      ...{ files: status.files, freeFiles: status.ffree },
      ...{ blockSizeBytes: status.bsize, fragmentSizeBytes: status.bsize },
      maximumNameBytes: 255,
    }
  },
  setxattr({ objects }, { reference, name, value, flags }) {
    setxattr(objects.path(reference), name, value, flags)
    return {}
  },
  getxattr: ({ objects }, { reference, name }) => getxattr(objects.path(reference), name),
  listxattr: ({ objects }, { reference }) => listxattr(objects.path(reference)),
  removexattr({ objects }, { reference, name }) {
    removexattr(objects.path(reference), name)
    return {}
  },
} satisfies Partial<ServerHandlers>

/** setuid and setgid go as when somebody without CAP_FSETID writes. */
export function killPrivileges({ objects }: ServerContext, reference: Uint8Array): void {
  const { mode } = objects.attributes(reference)
  if ((mode & TYPE_MASK) !== TYPE_FILE || (mode & PRIVILEGES) === 0) return
  const hasGroup = (mode & GROUP_EXECUTE) !== 0
  const kept = hasGroup ? mode & ~PRIVILEGES : mode & ~(PRIVILEGES & ~SETGID)
  if (kept !== mode) chmodSync(objects.path(reference), kept & PERMISSIONS)
}

/** Keeps a file that is about to lose its last name and is open; true when that took the name away. */
function keep(
  context: ServerContext,
  parent: Uint8Array,
  name: Uint8Array,
  how: 'move' | 'link',
): boolean {
  const { objects, orphans } = context
  const victim = objects.findIfThere(parent, name)
  if (victim === undefined) return false
  const { reference, attributes } = victim
  const isFile = (attributes.mode & TYPE_MASK) === TYPE_FILE
  if (!isFile || !orphans.isNeeded(reference, attributes.linkCount)) return false
  const path = objects.pathOf(parent, name)
  if (how === 'link') orphans.link(reference, path)
  else orphans.take(reference, path)
  return how === 'move'
}

function toTime(time: { readonly isNow: boolean; readonly timeNs: bigint } | undefined) {
  if (time === undefined) return undefined
  return time.isNow ? ('now' as const) : time.timeNs
}
