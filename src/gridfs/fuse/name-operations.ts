// Operations on names and on what they lead to: lookup, the creating and removing ones, links, attributes.
// The node that a request is about (the folder, for a name in it) is in its header.
import {
  encodeAttributesReply,
  encodeEntry,
  encodeStatistics,
  readAttributeChanges,
  writeEntry,
  writeNumber,
  ENTRY_BYTES,
  type Entry,
} from './attributes.ts'
import { type FieldReader } from '../field-reader.ts'
import { done, noFields, operation, whole } from './operation.ts'

/** An open file or folder as the file system numbers it, and how the kernel shall cache it. */
export interface Opened {
  readonly handle: number
  /** Reads and writes go past the page cache. */
  readonly isDirect?: boolean
  /** What the page cache holds of the file stays valid; likewise the names of a folder. */
  readonly keepsCache?: boolean
  /** The names of a folder may be cached. */
  readonly cachesNames?: boolean
  /** Closing does not flush. */
  readonly needsNoFlush?: boolean
  readonly isNotSeekable?: boolean
  /** Direct writes of one file may run at the same time. */
  readonly hasParallelDirectWrites?: boolean
}

export interface Created {
  readonly entry: Entry
  readonly opened: Opened
}

const OPENED_BYTES = 16
const OPEN_DIRECT = 1 << 0
const OPEN_KEEP_CACHE = 1 << 1
const OPEN_NOT_SEEKABLE = 1 << 2
const OPEN_CACHE_NAMES = 1 << 3
const OPEN_NO_FLUSH = 1 << 5
const OPEN_PARALLEL_DIRECT_WRITES = 1 << 6

export function encodeOpened(opened: Opened): Buffer {
  const into = Buffer.alloc(OPENED_BYTES)
  writeOpened(into, 0, opened)
  return into
}

function writeOpened(into: Buffer, at: number, opened: Opened): void {
  writeNumber(into, at, opened.handle)
  const flags =
    (opened.isDirect === true ? OPEN_DIRECT : 0) |
    (opened.keepsCache === true ? OPEN_KEEP_CACHE : 0) |
    (opened.isNotSeekable === true ? OPEN_NOT_SEEKABLE : 0) |
    (opened.cachesNames === true ? OPEN_CACHE_NAMES : 0) |
    (opened.needsNoFlush === true ? OPEN_NO_FLUSH : 0) |
    (opened.hasParallelDirectWrites === true ? OPEN_PARALLEL_DIRECT_WRITES : 0)
  into.writeUInt32LE(flags, at + 8)
}

function encodeCreated({ entry, opened }: Created): Buffer {
  const into = Buffer.alloc(ENTRY_BYTES + OPENED_BYTES)
  writeEntry(into, 0, entry)
  writeOpened(into, ENTRY_BYTES, opened)
  return into
}

const GETATTR_HANDLE = 1 << 0
const OPEN_KILLS_PRIVILEGES = 1 << 0

/** struct fuse_create_in and the name: create and tmpfile. */
function readCreate(body: FieldReader) {
  const [flags, mode, umask, openFlags] = [body.u32(), body.u32(), body.u32(), body.u32()]
  const killsPrivileges = (openFlags & OPEN_KILLS_PRIVILEGES) !== 0
  return { name: body.name(), flags, mode, umask, killsPrivileges }
}

function readRename(body: FieldReader, flags: number, newParent: number) {
  return { newParent, flags, name: body.name(), newName: body.name() }
}

export const nameOperations = {
  lookup: operation(1, (body) => ({ name: body.name() }), whole(encodeEntry)),
  getattr: operation(
    3,
    (body) => {
      const flags = body.u32()
      body.skip(4)
      const handle = body.number()
      return { handle: (flags & GETATTR_HANDLE) === 0 ? undefined : handle }
    },
    whole(encodeAttributesReply),
  ),
  setattr: operation(4, readAttributeChanges, whole(encodeAttributesReply)),
  readlink: operation(5, noFields, (target: Uint8Array) => [target]),
  symlink: operation(6, (body) => ({ name: body.name(), target: body.name() }), whole(encodeEntry)),
  mknod: operation(
    8,
    (body) => {
      const [mode, device, umask] = [body.u32(), body.u32(), body.u32()]
      body.skip(4)
      return { name: body.name(), mode, device, umask }
    },
    whole(encodeEntry),
  ),
  mkdir: operation(
    9,
    (body) => {
      const [mode, umask] = [body.u32(), body.u32()]
      return { name: body.name(), mode, umask }
    },
    whole(encodeEntry),
  ),
  unlink: operation(10, (body) => ({ name: body.name() }), done),
  rmdir: operation(11, (body) => ({ name: body.name() }), done),
  rename: operation(12, (body) => readRename(body, 0, body.number()), done),
  link: operation(
    13,
    (body) => ({ oldNodeId: body.number(), newName: body.name() }),
    whole(encodeEntry),
  ),
  statfs: operation(17, noFields, whole(encodeStatistics)),
  access: operation(34, (body) => ({ mask: body.u32() }), done),
  create: operation(35, readCreate, whole(encodeCreated)),
  rename2: operation(
    45,
    (body) => {
      const [newParent, flags] = [body.number(), body.u32()]
      body.skip(4)
      return readRename(body, flags, newParent)
    },
    done,
  ),
  tmpfile: operation(51, readCreate, whole(encodeCreated)),
  statx: operation(
    52,
    (body) => {
      const flags = body.u32()
      body.skip(4)
      const [handle, statxFlags, mask] = [body.number(), body.u32(), body.u32()]
      return {
        handle: (flags & GETATTR_HANDLE) === 0 ? undefined : handle,
        statxFlags,
        mask,
      }
    },
    (reply: Uint8Array) => [reply],
  ),
} as const
