// Locks, and what only few file systems answer: ioctl, poll, bmap. Also what has no reply: forget.
import { malformed, type FieldReader } from '../field-reader.ts'
import { operation, done, whole } from './operation.ts'

/** A range of bytes that somebody locks; `end` is the last byte, 2^63 - 1 for "to the end of the file". */
export interface FileLock {
  readonly start: bigint
  readonly end: bigint
  readonly type: 'read' | 'write' | 'unlock'
  /** Thread group of the holder. */
  readonly pid: number
}

export interface Forgotten {
  readonly nodeId: number
  /** How many of the lookups of this node the kernel gives back. */
  readonly lookups: number
}

export interface IoctlReply {
  readonly result: number
  readonly output: Uint8Array
}

const LOCK_TYPES = ['read', 'write', 'unlock'] as const // F_RDLCK, F_WRLCK, F_UNLCK
const LOCK_IS_FLOCK = 1 << 0

function readLock(body: FieldReader) {
  const [handle, owner] = [body.number(), body.u64()]
  const [start, end] = [body.u64(), body.u64()]
  const type = LOCK_TYPES[body.u32()]
  if (type === undefined) throw malformed('FUSE request', 'lock type')
  const [pid, flags] = [body.u32(), body.u32()]
  const lock: FileLock = { start, end, type, pid }
  return { handle, owner, lock, isFlock: (flags & LOCK_IS_FLOCK) !== 0 }
}

function encodeLock(lock: FileLock): Buffer {
  const into = Buffer.alloc(24)
  into.writeBigUInt64LE(lock.start, 0)
  into.writeBigUInt64LE(lock.end, 8)
  into.writeUInt32LE(LOCK_TYPES.indexOf(lock.type), 16)
  into.writeUInt32LE(lock.pid, 20)
  return into
}

function encodeIoctl({ result, output }: IoctlReply): readonly Uint8Array[] {
  const into = Buffer.alloc(16)
  into.writeInt32LE(result, 0)
  return [into, output]
}

function encodeU32(value: number): Buffer {
  const into = Buffer.alloc(8)
  into.writeUInt32LE(value, 0)
  return into
}

function encodeBlock(block: bigint): Buffer {
  const into = Buffer.alloc(8)
  into.writeBigUInt64LE(block, 0)
  return into
}

export const controlOperations = {
  /** The lock that stands in the way, or one of type `unlock`. */
  getlk: operation(31, readLock, whole(encodeLock)),
  setlk: operation(32, readLock, done),
  /** Waits for the lock; a signal to the caller aborts the request. */
  setlkw: operation(33, readLock, done),
  bmap: operation(
    37,
    (body) => ({ block: body.u64(), blockSizeBytes: body.u32() }),
    whole(encodeBlock),
  ),
  ioctl: operation(
    39,
    (body) => {
      const [handle, flags, command] = [body.number(), body.u32(), body.u32()]
      const [argument, inputBytes, outputBytes] = [body.u64(), body.u32(), body.u32()]
      return { handle, flags, command, argument, outputBytes, input: body.bytes(inputBytes) }
    },
    encodeIoctl,
  ),
  poll: operation(
    40,
    (body) => {
      const [handle, kernelHandle] = [body.number(), body.u64()]
      return { handle, kernelHandle, flags: body.u32(), events: body.u32() }
    },
    whole(encodeU32),
  ),
} as const

export function readForget(nodeId: number, body: FieldReader): Forgotten[] {
  return [{ nodeId, lookups: body.number() }]
}

export function readBatchForget(body: FieldReader): Forgotten[] {
  const count = body.u32()
  body.skip(4)
  const forgotten: Forgotten[] = []
  for (let index = 0; index < count; index += 1) {
    forgotten.push({ nodeId: body.number(), lookups: body.number() })
  }
  return forgotten
}
