// Operations on open files and folders, and on locks. Reading and writing run on threads of their own; the
// rest answers from what the kernel has in memory.
import {
  closeSync,
  constants,
  fsync,
  fdatasync,
  ftruncateSync,
  openSync,
  read,
  readSync,
  write,
} from 'node:fs'
import { promisify } from 'node:util'
import {
  copyRange,
  fallocateAsync,
  isCached,
  positionOf,
  readNames,
  seekTo,
} from '../../host/host.ts'
import { MAXIMUM_DATA_BYTES, type WireReplyOf, type WireRequestOf } from '../wire/operations.ts'
import { FuseError } from '../fuse/errno.ts'
import { type Data, type ServerContext, type ServerHandlers } from './context.ts'
import { attributesOf, clientPath, killPrivileges, makeOwned } from './name-handlers.ts'
import { type OpenFile } from './open-files.ts'
import { HIDDEN_FOLDER } from './orphans.ts'

const PERMISSIONS = 0o7777
const TYPE_MASK = 0o170000
const TYPE_FILE = 0o100000
const TYPE_FOLDER = 0o040000
const TYPE_SYMLINK = 0o120000
const { O_APPEND, O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_TRUNC } = constants
/** Node has no names for them; the numbers of every architecture of Node 24. */
const O_ACCMODE = 3
const O_TMPFILE = 0o20000000 | O_DIRECTORY
/** What of the flags of open(2) is heeded: the way of access, appending, truncating. */
const OPEN_FLAGS = O_ACCMODE | O_APPEND | O_TRUNC

const readAsync = promisify(read)
const writeAsync = promisify(write)
const fsyncAsync = promisify(fsync)
const fdatasyncAsync = promisify(fdatasync)

function take(
  context: ServerContext,
  handle: number,
  file: { readonly fd: number; readonly reference: Buffer; readonly flags: number },
): void {
  context.files.add(handle, file)
  context.orphans.opened(file.reference)
}

function open(context: ServerContext, { reference, handle, flags }: WireRequestOf<'open'>): void {
  const heeded = flags & OPEN_FLAGS
  const fd = openSync(openablePath(context, reference), heeded)
  take(context, handle, { fd, reference: Buffer.from(reference), flags: heeded })
}

/**
 * Honest clients open what is no file on their own machine. Here a device node would be a device of the
 * server, and a pipe would wait for another end with all clients.
 */
function openablePath({ objects }: ServerContext, reference: Uint8Array): string {
  const type = objects.attributes(reference).mode & TYPE_MASK
  if (type === TYPE_SYMLINK) throw new FuseError('ELOOP')
  if (type !== TYPE_FILE && type !== TYPE_FOLDER) throw new FuseError('ENXIO')
  return objects.path(reference)
}

/** Owners of locks are told apart by client; flock's and fcntl's locks do not meet. */
const lockKey = (reference: Buffer, isFlock: boolean) =>
  `${isFlock ? 'flock' : 'range'} ${reference.toString('latin1')}`
const lockOwner = ({ client }: ServerContext, owner: bigint) => `${client} ${owner}`

export const fileHandlers = {
  open(context, { reference, handle, flags }) {
    context.files.checkRoom()
    open(context, { reference, handle, flags })
    return attributesOf(context, reference)
  },
  reclaim(context, { open: files }) {
    const lost: number[] = []
    for (const { reference, handle, flags } of files) {
      try {
        open(context, { reference, handle, flags: flags & ~O_TRUNC })
      } catch {
        lost.push(handle)
      }
    }
    return { lost }
  },
  create(context, wanted, { before }) {
    context.files.checkRoom()
    const path = clientPath(context, wanted.parent, wanted.name)
    const flags = wanted.flags & OPEN_FLAGS
    const isRepeated = before?.length === 0
    const made = isRepeated ? context.objects.findIfThere(wanted.parent, wanted.name) : undefined
    const { found, result: fd } = makeOwned(context, wanted, () => {
      const opened =
        made === undefined
          ? openSync(path, flags | O_CREAT | O_EXCL | O_NOFOLLOW, wanted.mode & PERMISSIONS)
          : openSync(openablePath(context, made.reference), flags)
      return { made: context.objects.foundBy(opened), result: opened }
    })
    take(context, wanted.handle, { fd, reference: Buffer.from(found.reference), flags })
    return found
  },
  tmpfile(context, { parent, handle, flags, mode, caller }) {
    context.files.checkRoom()
    const access = flags & O_ACCMODE
    const { found, result: fd } = makeOwned(context, { caller, mode }, () => {
      const path = context.objects.path(parent)
      const opened = openSync(path, access | O_TMPFILE, mode & PERMISSIONS)
      return { made: context.objects.foundBy(opened), result: opened }
    })
    take(context, handle, { fd, reference: Buffer.from(found.reference), flags: access })
    return found
  },
  release(context, { handle }) {
    const file = context.files.close(handle)
    if (file !== undefined) context.orphans.closed(file.reference)
    return {}
  },
  async read({ files }, { handle, offset, sizeBytes }, data) {
    const buffer = Buffer.allocUnsafe(Math.min(sizeBytes, MAXIMUM_DATA_BYTES))
    const doneBytes = await files.use(handle, ({ fd }) => readFully(fd, buffer, offset))
    data.reply = [buffer.subarray(0, doneBytes)]
    return {}
  },
  write: (context, request, data) =>
    context.files.use(request.handle, (file) => writeFile(context, file, { request, data })),
  async restore(context, { reference, offset, sizeBytes }, data) {
    const fd = openSync(openablePath(context, reference), constants.O_WRONLY)
    try {
      if (sizeBytes !== undefined) ftruncateSync(fd, sizeBytes)
      await writeFully(fd, Buffer.concat(data.request), offset)
      return {}
    } finally {
      closeSync(fd)
    }
  },
  async commit(context, { reference }) {
    const fd = openSync(openablePath(context, reference), constants.O_RDONLY)
    try {
      await fsyncAsync(fd)
      return { verifier: context.verifier }
    } finally {
      closeSync(fd)
    }
  },
  flush: () => ({}), // what is told to others is all there is to it
  async fsync({ files, verifier }, { handle, isDataOnly }) {
    await files.use(handle, ({ fd }) => (isDataOnly ? fdatasyncAsync : fsyncAsync)(fd))
    return { verifier }
  },
  async fallocate({ files }, { handle, offset, lengthBytes, mode }) {
    await files.use(handle, ({ fd }) => fallocateAsync(fd, mode, { offset, lengthBytes }))
    return {}
  },
  seek: ({ files }, { handle, offset, what }) => ({
    offset: seekTo(files.get(handle).fd, what, offset),
  }),
  copy({ files }, { handle, offset, toHandle, toOffset, lengthBytes }) {
    const [from, to] = [files.get(handle), files.get(toHandle)]
    const bounded = Math.min(lengthBytes, COPY_BYTES)
    return {
      lengthBytes: copyRange({ fd: from.fd, offset }, { fd: to.fd, offset: toOffset }, bounded),
    }
  },
  readdir: (context, request) => readFolder(context, request),
  testLock(context, { handle, owner, isFlock, lock }) {
    const { reference } = context.files.get(handle)
    const request = { owner: lockOwner(context, owner), lock }
    return { found: context.locks.conflict(lockKey(reference, isFlock), request) }
  },
  async setLock(context, { handle, owner, isFlock, lock, waits }) {
    const key = lockKey(context.files.get(handle).reference, isFlock)
    const request = { owner: lockOwner(context, owner), lock }
    if (waits) await context.locks.wait(key, request, context.signal)
    else context.locks.set(key, request)
    return {}
  },
  releaseLocks(context, { handle, owner, isFlock }) {
    const key = lockKey(context.files.get(handle).reference, isFlock)
    context.locks.release(key, lockOwner(context, owner))
    return {}
  },
} satisfies Partial<ServerHandlers>

/** Less than the whole buffer at the end of the file. */
async function readFully(fd: number, buffer: Buffer, offset: number): Promise<number> {
  const span = { positionBytes: offset, lengthBytes: buffer.length }
  const isAtHand = buffer.length <= READ_AT_ONCE_BYTES && isCached(fd, span)
  let done = isAtHand ? readSync(fd, buffer, 0, buffer.length, offset) : 0
  while (done < buffer.length) {
    const room = buffer.length - done
    const { bytesRead } = await readAsync(fd, buffer, done, room, offset + done)
    if (bytesRead === 0) break
    done += bytesRead
  }
  return done
}

async function writeFile(
  context: ServerContext,
  file: OpenFile,
  { request, data }: { readonly request: WireRequestOf<'write'>; readonly data: Data },
): Promise<WireReplyOf<'write'>> {
  if (request.killsPrivileges) killPrivileges(context, file.reference)
  const [first, ...more] = data.request
  const bytes = first !== undefined && more.length === 0 ? first : Buffer.concat(data.request)
  if (data.before !== undefined) {
    const known = { before: data.before, bytes }
    if (await wasAppended(context, file.reference, known)) {
      return { sizeBytes: bytes.length, offset: Number(data.before.readBigUInt64LE()) }
    }
  }
  // At the end of the file, wherever that is, and all of it: nobody else writes in between.
  const isAppended = (file.flags & O_APPEND) !== 0
  const sizeBytes = await writeFully(file.fd, bytes, isAppended ? null : request.offset)
  const offset = isAppended ? positionOf(file.fd) - sizeBytes : request.offset
  return { sizeBytes, offset }
}

/** `offset` null: where the kernel's own position is. */
async function writeFully(fd: number, bytes: Buffer, offset: number | null): Promise<number> {
  let done = 0
  while (done < bytes.length) {
    const at = offset === null ? null : offset + done
    done += (await writeAsync(fd, bytes, done, bytes.length - done, at)).bytesWritten
  }
  return done
}

/** Whether these bytes are where the end of the file was. */
async function wasAppended(
  { objects }: ServerContext,
  reference: Uint8Array,
  { before, bytes }: { readonly before: Buffer; readonly bytes: Buffer },
): Promise<boolean> {
  const fd = openSync(objects.path(reference), 'r')
  try {
    const found = Buffer.alloc(bytes.length)
    const { bytesRead } = await readAsync(fd, found, 0, found.length, before.readBigUInt64LE())
    return bytesRead === bytes.length && found.equals(bytes)
  } finally {
    closeSync(fd)
  }
}

const COPY_BYTES = 2 ** 26
/** Copying as much takes no longer than asking a thread to do it. */
const READ_AT_ONCE_BYTES = 64 * 2 ** 10

/** Names of a reply: some hundreds, whose attributes take a few milliseconds to find. */
const NAMES_BYTES = 16 * 2 ** 10
const DOTS = new Set(['.', '..'])

/** The names of a folder from a position on, in the order in which its file system has them. */
function readFolder(
  context: ServerContext,
  { reference, position, hasAttributes }: WireRequestOf<'readdir'>,
): WireReplyOf<'readdir'> {
  const { objects } = context
  const isRoot = objects.root.equals(reference)
  const fd = openSync(objects.path(reference), O_DIRECTORY)
  try {
    let next = position
    for (;;) {
      const names = readNames(fd, next, NAMES_BYTES)
      next = names.at(-1)?.next ?? next
      const shown = names.filter(({ name }) => {
        const text = name.toString('latin1')
        return !DOTS.has(text) && !(isRoot && text === HIDDEN_FOLDER)
      })
      if (shown.length === 0 && names.length > 0) continue
      const entries = shown.map(({ name, inode, type }) => ({
        ...{ name, inode, type },
        found: hasAttributes ? objects.look(fd, name) : undefined,
      }))
      return { entries, next }
    }
  } finally {
    closeSync(fd)
  }
}
