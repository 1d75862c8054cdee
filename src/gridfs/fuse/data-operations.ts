// Operations on open files and folders and on extended attributes.
import { writeNumber } from './attributes.ts'
import { type FieldReader } from '../field-reader.ts'
import { type DirectoryBuffer } from './directory-buffer.ts'
import { encodeOpened } from './name-operations.ts'
import { done, operation, whole } from './operation.ts'

/** `sizeBytes` alone answers a caller who asked how large the value is. */
export type ExtendedAttributeReply = Uint8Array | { readonly sizeBytes: number }

const LOCK_OWNER_IN_READ = 1 << 1
const WRITE_FROM_CACHE = 1 << 0
const WRITE_LOCK_OWNER = 1 << 1
const WRITE_KILLS_PRIVILEGES = 1 << 2
const RELEASE_FLUSH = 1 << 0
const RELEASE_FLOCK = 1 << 1
const FSYNC_DATA_ONLY = 1 << 0

function readOpen(body: FieldReader) {
  const [flags, openFlags] = [body.u32(), body.u32()]
  return { flags, killsPrivileges: (openFlags & 1) !== 0 }
}

/** struct fuse_read_in: read, readdir, readdirplus. */
function readRead(body: FieldReader) {
  const [handle, offset] = [body.number(), body.offset()]
  const [sizeBytes, readFlags] = [body.u32(), body.u32()]
  const [lockOwner, flags] = [body.u64(), body.u32()]
  const hasOwner = (readFlags & LOCK_OWNER_IN_READ) !== 0
  return { handle, offset, sizeBytes, flags, lockOwner: hasOwner ? lockOwner : undefined }
}

function readWrite(body: FieldReader) {
  const [handle, offset] = [body.number(), body.offset()]
  const [sizeBytes, writeFlags] = [body.u32(), body.u32()]
  const [lockOwner, flags] = [body.u64(), body.u32()]
  body.skip(4)
  return {
    ...{ handle, offset, flags },
    lockOwner: (writeFlags & WRITE_LOCK_OWNER) === 0 ? undefined : lockOwner,
    /** From the page cache: whose write it was is not known. */
    isFromCache: (writeFlags & WRITE_FROM_CACHE) !== 0,
    killsPrivileges: (writeFlags & WRITE_KILLS_PRIVILEGES) !== 0,
    /** Valid until the reply. */
    data: body.bytes(sizeBytes),
  }
}

function readRelease(body: FieldReader) {
  const [handle, flags, releaseFlags] = [body.number(), body.u32(), body.u32()]
  const lockOwner = body.u64()
  return {
    ...{ handle, flags, lockOwner },
    flushes: (releaseFlags & RELEASE_FLUSH) !== 0,
    unlocksFlock: (releaseFlags & RELEASE_FLOCK) !== 0,
  }
}

function readFsync(body: FieldReader) {
  const [handle, flags] = [body.number(), body.u32()]
  return { handle, isDataOnly: (flags & FSYNC_DATA_ONLY) !== 0 }
}

function encodeExtendedAttribute(reply: ExtendedAttributeReply): readonly Uint8Array[] {
  if (reply instanceof Uint8Array) return [reply]
  const into = Buffer.alloc(8)
  into.writeUInt32LE(reply.sizeBytes, 0)
  return [into]
}

function encodeWritten(sizeBytes: number): Buffer {
  const into = Buffer.alloc(8)
  into.writeUInt32LE(sizeBytes, 0)
  return into
}

function encodeOffset(offset: number): Buffer {
  const into = Buffer.alloc(8)
  writeNumber(into, 0, offset)
  return into
}

const directory = (names: DirectoryBuffer): readonly Uint8Array[] => [names.encoded()]

/** `sizeBytes` 0 asks for the size alone. */
function readGetxattr(body: FieldReader) {
  const sizeBytes = body.u32()
  body.skip(4)
  return { sizeBytes }
}

function readCopy(body: FieldReader) {
  const [handle, offset, toNodeId] = [body.number(), body.offset(), body.number()]
  const [toHandle, toOffset] = [body.number(), body.offset()]
  const [lengthBytes, flags] = [body.offset(), body.u64()]
  return { handle, offset, toNodeId, toHandle, toOffset, lengthBytes, flags }
}

export const dataOperations = {
  open: operation(14, readOpen, whole(encodeOpened)),
  /** Fewer bytes than asked for mean the end of the file. */
  read: operation(15, readRead, (data: Uint8Array) => [data]),
  /** The reply says how many bytes were taken. */
  write: operation(16, readWrite, whole(encodeWritten)),
  release: operation(18, readRelease, done),
  fsync: operation(20, readFsync, done),
  setxattr: operation(
    21,
    (body) => {
      const [sizeBytes, flags] = [body.u32(), body.u32()]
      return { name: body.name(), value: body.bytes(sizeBytes), flags }
    },
    done,
  ),
  getxattr: operation(
    22,
    (body) => ({ ...readGetxattr(body), name: body.name() }),
    encodeExtendedAttribute,
  ),
  listxattr: operation(23, readGetxattr, encodeExtendedAttribute),
  removexattr: operation(24, (body) => ({ name: body.name() }), done),
  flush: operation(
    25,
    (body) => {
      const handle = body.number()
      body.skip(8)
      return { handle, lockOwner: body.u64() }
    },
    done,
  ),
  opendir: operation(27, readOpen, whole(encodeOpened)),
  readdir: operation(28, readRead, directory),
  releasedir: operation(29, readRelease, done),
  fsyncdir: operation(30, readFsync, done),
  fallocate: operation(
    43,
    (body) => {
      const [handle, offset, lengthBytes] = [body.number(), body.offset(), body.offset()]
      return { handle, offset, lengthBytes, mode: body.u32() }
    },
    done,
  ),
  readdirplus: operation(44, readRead, directory),
  lseek: operation(
    46,
    (body) => ({ handle: body.number(), offset: body.offset(), whence: body.u32() }),
    whole(encodeOffset),
  ),
  copyFileRange: operation(47, readCopy, whole(encodeWritten)),
  syncfs: operation(50, () => ({}), done),
  copyFileRange64: operation(53, readCopy, whole(encodeOffset)),
} as const
