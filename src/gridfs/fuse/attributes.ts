// What a file system tells the kernel about an object, and its encodings: struct fuse_attr, fuse_entry_out,
// fuse_attr_out, fuse_kstatfs. The other way, struct fuse_setattr_in: what a caller wants to be changed.
import { fromTimespec, toTimespec } from '../../core/core.ts'
import { type FieldReader } from '../field-reader.ts'

export interface FileAttributes {
  readonly inode: bigint
  readonly sizeBytes: number
  /** Of 512 bytes, as in stat(2). */
  readonly blocks: number
  /** Times in nanoseconds since 1970, negative before. */
  readonly accessedNs: bigint
  readonly modifiedNs: bigint
  readonly changedNs: bigint
  /** Type and permissions, as in stat(2). */
  readonly mode: number
  readonly linkCount: number
  readonly uid: number
  readonly gid: number
  /** As the kernel encodes it in 32 bits; 0 unless the object is a device. */
  readonly device: number
  readonly blockSizeBytes: number
}

/** A name that was looked up. The kernel's count of lookups of `nodeId` grows by one: see forget. */
export interface Entry {
  readonly nodeId: number
  /** Differs when a node number is used again. */
  readonly generation: number
  readonly attributes: FileAttributes
  /** How long the kernel may answer by itself for the name, and for the attributes. */
  readonly nameValidMs: number
  readonly attributesValidMs: number
}

export interface AttributesReply {
  readonly attributes: FileAttributes
  readonly validMs: number
}

export interface FileSystemStatistics {
  readonly blocks: number
  readonly freeBlocks: number
  readonly availableBlocks: number
  readonly files: number
  readonly freeFiles: number
  readonly blockSizeBytes: number
  readonly fragmentSizeBytes: number
  readonly maximumNameBytes: number
}

/** `now`: the time of the file system's own clock. */
export type NewTime = bigint | 'now'

/** Fields that are left out stay as they are. */
export interface AttributeChanges {
  readonly mode?: number
  readonly uid?: number
  readonly gid?: number
  readonly sizeBytes?: number
  readonly accessedNs?: NewTime
  readonly modifiedNs?: NewTime
  readonly changedNs?: bigint
  /** setuid and setgid go away, as for a write by somebody without CAP_FSETID. */
  readonly killsPrivileges: boolean
}

export const ATTRIBUTES_BYTES = 88
export const ENTRY_BYTES = 40 + ATTRIBUTES_BYTES
const STATISTICS_BYTES = 80

export function writeAttributes(into: Buffer, at: number, attributes: FileAttributes): void {
  into.writeBigUInt64LE(attributes.inode, at)
  writeNumber(into, at + 8, attributes.sizeBytes)
  writeNumber(into, at + 16, attributes.blocks)
  writeTime(into, at + 24, at + 48, attributes.accessedNs)
  writeTime(into, at + 32, at + 52, attributes.modifiedNs)
  writeTime(into, at + 40, at + 56, attributes.changedNs)
  into.writeUInt32LE(attributes.mode, at + 60)
  into.writeUInt32LE(attributes.linkCount, at + 64)
  into.writeUInt32LE(attributes.uid, at + 68)
  into.writeUInt32LE(attributes.gid, at + 72)
  into.writeUInt32LE(attributes.device, at + 76)
  into.writeUInt32LE(attributes.blockSizeBytes, at + 80)
}

export function writeEntry(into: Buffer, at: number, entry: Entry): void {
  writeNumber(into, at, entry.nodeId)
  writeNumber(into, at + 8, entry.generation)
  writeValidity(into, at + 16, at + 32, entry.nameValidMs)
  writeValidity(into, at + 24, at + 36, entry.attributesValidMs)
  writeAttributes(into, at + 40, entry.attributes)
}

export function encodeEntry(entry: Entry): Buffer {
  const into = Buffer.alloc(ENTRY_BYTES)
  writeEntry(into, 0, entry)
  return into
}

export function encodeAttributesReply(reply: AttributesReply): Buffer {
  const into = Buffer.alloc(16 + ATTRIBUTES_BYTES)
  writeValidity(into, 0, 8, reply.validMs)
  writeAttributes(into, 16, reply.attributes)
  return into
}

export function encodeStatistics(statistics: FileSystemStatistics): Buffer {
  const into = Buffer.alloc(STATISTICS_BYTES)
  writeNumber(into, 0, statistics.blocks)
  writeNumber(into, 8, statistics.freeBlocks)
  writeNumber(into, 16, statistics.availableBlocks)
  writeNumber(into, 24, statistics.files)
  writeNumber(into, 32, statistics.freeFiles)
  into.writeUInt32LE(statistics.blockSizeBytes, 40)
  into.writeUInt32LE(statistics.maximumNameBytes, 44)
  into.writeUInt32LE(statistics.fragmentSizeBytes, 48)
  return into
}

const VALID = {
  mode: 1 << 0,
  uid: 1 << 1,
  gid: 1 << 2,
  size: 1 << 3,
  accessed: 1 << 4,
  modified: 1 << 5,
  handle: 1 << 6,
  accessedNow: 1 << 7,
  modifiedNow: 1 << 8,
  lockOwner: 1 << 9,
  changed: 1 << 10,
  killsPrivileges: 1 << 11,
} as const

/** struct fuse_setattr_in. */
export function readAttributeChanges(body: FieldReader): {
  readonly handle: number | undefined
  readonly lockOwner: bigint | undefined
  readonly changes: AttributeChanges
} {
  const valid = body.u32()
  body.skip(4)
  const [handle, size, lockOwner] = [body.number(), body.u64(), body.u64()]
  const seconds = [body.i64(), body.i64(), body.i64()] as const
  const nanoseconds = [BigInt(body.u32()), BigInt(body.u32()), BigInt(body.u32())] as const
  const mode = body.u32()
  body.skip(4)
  const [uid, gid] = [body.u32(), body.u32()]
  const has = (flag: number) => (valid & flag) !== 0
  const time = (index: 0 | 1 | 2) =>
    fromTimespec({ seconds: seconds[index], nanoseconds: nanoseconds[index] })
  return {
    handle: has(VALID.handle) ? handle : undefined,
    lockOwner: has(VALID.lockOwner) ? lockOwner : undefined,
    changes: {
      killsPrivileges: has(VALID.killsPrivileges),
      ...(has(VALID.mode) ? { mode } : {}),
      ...(has(VALID.uid) ? { uid } : {}),
      ...(has(VALID.gid) ? { gid } : {}),
      ...(has(VALID.size) ? { sizeBytes: Number(size) } : {}),
      ...(has(VALID.accessed)
        ? { accessedNs: has(VALID.accessedNow) ? ('now' as const) : time(0) }
        : {}),
      ...(has(VALID.modified)
        ? { modifiedNs: has(VALID.modifiedNow) ? ('now' as const) : time(1) }
        : {}),
      ...(has(VALID.changed) ? { changedNs: time(2) } : {}),
    },
  }
}

/** A number of ours or a size, below 2^53. */
export function writeNumber(into: Buffer, at: number, value: number): void {
  into.writeUInt32LE(value % 2 ** 32, at)
  into.writeUInt32LE(Math.floor(value / 2 ** 32), at + 4)
}

function writeTime(into: Buffer, secondsAt: number, nanosecondsAt: number, timeNs: bigint): void {
  const { seconds, nanoseconds } = toTimespec(timeNs)
  into.writeBigInt64LE(seconds, secondsAt)
  into.writeUInt32LE(Number(nanoseconds), nanosecondsAt)
}

/** Infinity and whatever is longer than the field holds: for ever. */
function writeValidity(into: Buffer, secondsAt: number, nanosecondsAt: number, ms: number): void {
  const bounded = Math.min(ms, 2 ** 40)
  writeNumber(into, secondsAt, Math.floor(bounded / 1000))
  into.writeUInt32LE(Math.floor(bounded % 1000) * 1_000_000, nanosecondsAt)
}
