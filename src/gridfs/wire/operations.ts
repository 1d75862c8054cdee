// The operations of the grid file system on the wire: number, fields of request and reply, and whether a
// repeated request must not be carried out again. Names and targets are bytes. PROTOCOL.md §4.
import {
  bytes,
  flag,
  i64,
  list,
  oneOf,
  optional,
  struct,
  u32,
  whole,
  type Codec,
  type ValueOf,
} from './schema.ts'

export const VERSION = 1
/** ALPN. */
export const PROTOCOL_NAME = 'gridfs/1'
export const MAXIMUM_DATA_BYTES = 2 ** 20
/** Longer ones do not reach us; which of these are too long is said by the server's file system. */
const MAXIMUM_NAME_BYTES = 1024
const MAXIMUM_PATH_BYTES = 4095
const MAXIMUM_VALUE_BYTES = 65_535
const MAXIMUM_NAMES = 4096
const MAXIMUM_OPEN = 65_536
const MAXIMUM_MEMBERS = 64
export const MAXIMUM_MISSES = 256
export const MAXIMUM_DIGESTS = 4096

/** An object of the export, as the server named it; means nothing to anybody else. */
export const reference = bytes(160)
const name = bytes(MAXIMUM_NAME_BYTES)
const sessionId = bytes(16)
/** An open file, numbered by the client. */
const handle = whole

export const attributes = struct({
  inode: i64,
  sizeBytes: whole,
  blocks: whole,
  accessedNs: i64,
  modifiedNs: i64,
  changedNs: i64,
  mode: u32,
  linkCount: u32,
  uid: u32,
  gid: u32,
  device: u32,
  blockSizeBytes: u32,
})
export type WireAttributes = ValueOf<typeof attributes>

const found = struct({ reference, attributes })
export type Found = ValueOf<typeof found>

/** Who wants it: of the client's machine. */
const caller = struct({ uid: u32, gid: u32 })
export type WireCaller = ValueOf<typeof caller>

const newTime = optional(struct({ isNow: flag, timeNs: i64 }))
const changes = struct({
  mode: optional(u32),
  uid: optional(u32),
  gid: optional(u32),
  sizeBytes: optional(whole),
  accessed: newTime,
  modified: newTime,
  killsPrivileges: flag,
})
export type WireChanges = ValueOf<typeof changes>

const lock = struct({
  start: i64,
  end: i64,
  type: oneOf('read', 'write', 'unlock'),
  pid: u32,
})

export const entry = struct({
  name,
  inode: i64,
  /** As in stat(2), without permissions. */
  type: u32,
  found: optional(found),
})
export type WireEntry = ValueOf<typeof entry>

const nothing = struct({})

/** A path from the root of the export, without a slash before it; empty for the root itself. */
const path = bytes(MAXIMUM_PATH_BYTES)
/** A member of a mirror, as all mounts of the mirror name it. */
const member = bytes(MAXIMUM_NAME_BYTES)

/**
 * Which members of a mirror have missed nothing, each with its verifier: after a restart of its kernel it may
 * have lost something. Of two standings the one with the higher version is newer; version 0: of no mirror yet.
 */
const standing = struct({
  version: whole,
  clean: list(struct({ member, verifier: bytes(32) }), MAXIMUM_MEMBERS),
})
export type WireStanding = ValueOf<typeof standing>

/** What a member of a mirror has missed: at a path, or what came to be there from another. */
const miss = struct({ kind: oneOf('object', 'tree', 'renamed', 'linked'), path, from: path })
export type WireMiss = ValueOf<typeof miss>

/** All changes of an export; or bringing members of a mirror up to date. */
const held = oneOf('changes', 'healing')

export interface WireOperation<Request, Reply> {
  readonly code: number
  readonly request: Codec<Request>
  readonly reply: Codec<Reply>
  /** Changes something, so that it must take effect once however often it is asked for. */
  readonly isOnce: boolean
  /** The request, or the reply, ends with data. */
  readonly data?: 'request' | 'reply'
}

function operation<Request, Reply>(
  code: number,
  request: Codec<Request>,
  reply: Codec<Reply>,
  options: { readonly isOnce?: boolean; readonly data?: 'request' | 'reply' } = {},
): WireOperation<Request, Reply> {
  return { code, request, reply, isOnce: options.isOnce ?? false, ...options }
}

const once = { isOnce: true } as const

export const wireOperations = {
  hello: operation(
    1,
    struct({ version: u32, session: sessionId, export: bytes(MAXIMUM_PATH_BYTES) }),
    struct({
      /** The server still has the session: what was answered is remembered, locks are held. */
      isKnown: flag,
      /** Another one: the server's kernel has restarted, and what was not synchronised may be lost. */
      verifier: bytes(32),
      slots: u32,
      /** Nothing can be changed: the mount should say so. */
      isReadOnly: flag,
      root: found,
    }),
  ),
  /** Tells a server that does not know the session which files are open. */
  reclaim: operation(
    2,
    struct({ open: list(struct({ handle, reference, flags: u32 }), MAXIMUM_OPEN) }),
    struct({ lost: list(handle, MAXIMUM_OPEN) }),
  ),
  lookup: operation(3, struct({ parent: reference, name }), found),
  getattr: operation(4, struct({ reference }), attributes),
  setattr: operation(5, struct({ reference, caller, changes }), attributes, once),
  readlink: operation(6, struct({ reference }), bytes(MAXIMUM_PATH_BYTES)),
  symlink: operation(
    7,
    struct({ parent: reference, name, target: bytes(MAXIMUM_PATH_BYTES), caller }),
    found,
    once,
  ),
  mknod: operation(
    8,
    struct({ parent: reference, name, mode: u32, device: u32, caller }),
    found,
    once,
  ),
  mkdir: operation(9, struct({ parent: reference, name, mode: u32, caller }), found, once),
  unlink: operation(10, struct({ parent: reference, name }), nothing, once),
  rmdir: operation(11, struct({ parent: reference, name }), nothing, once),
  rename: operation(
    12,
    struct({ parent: reference, name, newParent: reference, newName: name, flags: u32 }),
    nothing,
    once,
  ),
  link: operation(13, struct({ reference, newParent: reference, newName: name }), found, once),
  open: operation(14, struct({ reference, handle, flags: u32 }), attributes, once),
  create: operation(
    15,
    struct({ parent: reference, name, handle, flags: u32, mode: u32, caller }),
    found,
    once,
  ),
  tmpfile: operation(
    16,
    struct({ parent: reference, handle, flags: u32, mode: u32, caller }),
    found,
    once,
  ),
  release: operation(17, struct({ handle }), nothing, once),
  read: operation(18, struct({ handle, offset: whole, sizeBytes: u32 }), nothing, {
    data: 'reply',
  }),
  write: operation(
    19,
    struct({ handle, offset: whole, killsPrivileges: flag }),
    /** Where the bytes are: appended ones are behind what was there. */
    struct({ sizeBytes: u32, offset: whole }),
    { isOnce: true, data: 'request' },
  ),
  /** Other clients are told that the file's content has changed. */
  flush: operation(34, struct({ handle }), nothing, once),
  fsync: operation(20, struct({ handle, isDataOnly: flag }), struct({ verifier: bytes(32) })),
  /**
   * What was written before, or to what size the file was cut, by a client that fears it is lost. Names no
   * open file: it may have been closed since.
   */
  restore: operation(
    35,
    struct({ reference, offset: whole, sizeBytes: optional(whole) }),
    nothing,
    { data: 'request' },
  ),
  /** As fsync, of a file that need not be open. */
  commit: operation(36, struct({ reference }), struct({ verifier: bytes(32) })),
  statfs: operation(
    21,
    struct({ reference }),
    struct({
      ...{ blocks: whole, freeBlocks: whole, availableBlocks: whole, files: whole },
      ...{ freeFiles: whole, blockSizeBytes: u32, fragmentSizeBytes: u32, maximumNameBytes: u32 },
    }),
  ),
  readdir: operation(
    22,
    struct({ reference, position: i64, hasAttributes: flag }),
    /** Reading goes on at `next`; no entries at the end. */
    struct({ entries: list(entry, MAXIMUM_NAMES), next: i64 }),
  ),
  setxattr: operation(
    23,
    struct({ reference, name, value: bytes(MAXIMUM_VALUE_BYTES), flags: u32 }),
    nothing,
    once,
  ),
  getxattr: operation(24, struct({ reference, name }), bytes(MAXIMUM_VALUE_BYTES)),
  listxattr: operation(25, struct({ reference }), bytes(MAXIMUM_VALUE_BYTES)),
  removexattr: operation(26, struct({ reference, name }), nothing, once),
  fallocate: operation(
    27,
    struct({ handle, offset: whole, lengthBytes: whole, mode: u32 }),
    nothing,
    once,
  ),
  seek: operation(
    28,
    struct({ handle, offset: whole, what: oneOf('data', 'hole') }),
    struct({ offset: whole }),
  ),
  copy: operation(
    29,
    struct({ handle, offset: whole, toHandle: handle, toOffset: whole, lengthBytes: whole }),
    struct({ lengthBytes: whole }),
    once,
  ),
  /** The lock in the way, if any. */
  testLock: operation(
    30,
    struct({ handle, owner: i64, isFlock: flag, lock }),
    struct({ found: optional(lock) }),
  ),
  setLock: operation(
    31,
    struct({ handle, owner: i64, isFlock: flag, lock, waits: flag }),
    nothing,
    once,
  ),
  /** All locks of an owner in the file, as when one of a process's descriptors is closed. */
  releaseLocks: operation(32, struct({ handle, owner: i64, isFlock: flag }), nothing, once),
  /** For mirrors: nobody else has it until it is let go, or the session ends. Asking twice does no harm. */
  hold: operation(
    50,
    struct({ what: held, waits: flag }),
    struct({
      nowNs: i64,
      /** Somebody waits for it already. */
      isWanted: flag,
      standing,
      /** What a client was changing that has not let go; an empty path means anything. */
      suspects: list(path, MAXIMUM_MISSES),
    }),
  ),
  /** `isSettled`: all clean members have done what was being changed. */
  letGo: operation(51, struct({ what: held, isSettled: flag }), nothing),
  standing: operation(52, nothing, standing),
  setStanding: operation(53, struct({ standing }), nothing),
  /** Written down for a member that is dirty, before it misses it. */
  note: operation(54, struct({ member, misses: list(miss, MAXIMUM_MISSES) }), nothing, once),
  misses: operation(
    55,
    struct({ member, position: whole }),
    /** `isWhole`: nothing of it can have been lost with the power. No misses at the end. */
    struct({ misses: list(miss, MAXIMUM_MISSES), next: whole, isWhole: flag }),
  ),
  /** Where an object is: one of its names. */
  path: operation(56, struct({ reference }), path),
  resolve: operation(57, struct({ path }), found),
  /** SHA-256 of blocks of a file; nothing for a block that is a hole. Fewer at the end of the file. */
  checksums: operation(
    58,
    struct({ reference, offset: whole, blockBytes: u32, count: u32 }),
    struct({ digests: list(bytes(32), MAXIMUM_DIGESTS) }),
  ),
} as const

export type WireOperations = typeof wireOperations
export type WireName = keyof WireOperations
export type WireRequestOf<Name extends WireName> = ValueOf<WireOperations[Name]['request']>
export type WireReplyOf<Name extends WireName> = ValueOf<WireOperations[Name]['reply']>

/** What a server says by itself. */
export const wirePushes = {
  /** Attributes, and content from an offset on, have changed. */
  changed: { code: 1, body: struct({ reference, hasNewContent: flag }) },
  /** A name leads to something else, or to nothing. */
  renamed: { code: 2, body: struct({ parent: reference, name }) },
  /** Another client waits for what this one holds. */
  wanted: { code: 3, body: struct({ what: held }) },
  standing: { code: 4, body: standing },
} as const

export const wireKinds = { request: 1, reply: 2, failure: 3, push: 4, cancel: 5 } as const
