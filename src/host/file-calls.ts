// Calls on files that Node lacks, for whoever serves files to others: extended attributes and times through
// a path of /proc/self/fd, holes, allocation, renaming with flags, ranges copied inside of the kernel.
// Synchronous, with errors as Node's own. See man 2 of each call.
import { constants } from 'node:os'
import koffi from 'koffi'
import { toTimespec } from '../core/core.ts'
import { check, lastError, libc, terminated, type SystemPath } from './libc.ts'
import { mknod } from './syscalls.ts'

const c = {
  open: libc.func('int open(const uint8_t *, int, uint32_t)'),
  setxattr: libc.func(
    'int setxattr(const uint8_t *, const uint8_t *, const uint8_t *, size_t, int)',
  ),
  getxattr: libc.func(
    'int64_t getxattr(const uint8_t *, const uint8_t *, _Out_ uint8_t *, size_t)',
  ),
  listxattr: libc.func('int64_t listxattr(const uint8_t *, _Out_ uint8_t *, size_t)'),
  removexattr: libc.func('int removexattr(const uint8_t *, const uint8_t *)'),
  utimensat: libc.func('int utimensat(int, const uint8_t *, const uint8_t *, int)'),
  renameat2: libc.func('int renameat2(int, const uint8_t *, int, const uint8_t *, uint32_t)'),
  fallocate: libc.func('int fallocate(int, int, int64_t, int64_t)'),
  lseek: libc.func('int64_t lseek(int, int64_t, int)'),
  statx: libc.func('int statx(int, const char *, int, uint32_t, _Out_ uint8_t *)'),
  linkat: libc.func('int linkat(int, const uint8_t *, int, const uint8_t *, int)'),
  readlinkat: libc.func('int64_t readlinkat(int, const uint8_t *, _Out_ uint8_t *, size_t)'),
  getdents64: libc.func('int64_t getdents64(int, _Out_ uint8_t *, size_t)'),
  copyFileRange: libc.func(
    'int64_t copy_file_range(int, _Inout_ int64_t *, int, _Inout_ int64_t *, size_t, uint32_t)',
  ),
}

const AT_FDCWD = -100
const AT_EMPTY_PATH = 0x1000
const PATH_MAXIMUM_BYTES = 4096
/** Offset of the name in struct linux_dirent64. */
const DIRENT_NAME = 19
const UTIME_NOW = 0x3fffffff
const UTIME_OMIT = 0x3ffffffe
const SEEK_SET = 0
const SEEK_CUR = 1
/** statx(2), kernel 6.8. */
const STATX_MNT_ID_UNIQUE = 0x4000
const STATX_BYTES = 256
const STATX_MNT_ID_OFFSET = 144
const SEEK_DATA = 3
const SEEK_HOLE = 4
/** The largest value and the longest list of names that Linux has. */
const XATTR_MAXIMUM_BYTES = 65_536

/**
 * As open(2) without making a file; undefined when there is none. Asking so is as cheap as finding one: an error of
 * Node's costs ten times the call.
 */
export function openIfThere(path: SystemPath, flags: number): number | undefined {
  const fd = c.open(terminated(path), flags, 0) as number
  if (fd >= 0) return fd
  if (koffi.errno() === constants.errno.ENOENT) return undefined
  throw lastError('open', path)
}

export function setxattr(path: SystemPath, name: SystemPath, value: Uint8Array, flags: number) {
  const result = c.setxattr(terminated(path), terminated(name), value, value.length, flags)
  check('setxattr', result as number)
}

/** Throws ENODATA when there is none of that name. */
export function getxattr(path: SystemPath, name: SystemPath): Buffer {
  const into = Buffer.allocUnsafe(XATTR_MAXIMUM_BYTES)
  const result = c.getxattr(terminated(path), terminated(name), into, into.length)
  return into.subarray(0, check('getxattr', Number(result)))
}

/** The names, each with a NUL behind it. */
export function listxattr(path: SystemPath): Buffer {
  const into = Buffer.allocUnsafe(XATTR_MAXIMUM_BYTES)
  const result = c.listxattr(terminated(path), into, into.length)
  return into.subarray(0, check('listxattr', Number(result)))
}

export function removexattr(path: SystemPath, name: SystemPath): void {
  check('removexattr', c.removexattr(terminated(path), terminated(name)) as number)
}

/** Sets times of access and content, following symbolic links; undefined leaves one alone. */
export function setTimes(
  path: SystemPath,
  accessed: bigint | 'now' | undefined,
  modified: bigint | 'now' | undefined,
): void {
  const times = Buffer.alloc(32)
  writeTime(times, 0, accessed)
  writeTime(times, 16, modified)
  check('utimensat', c.utimensat(AT_FDCWD, terminated(path), times, 0) as number)
}

function writeTime(into: Buffer, at: number, time: bigint | 'now' | undefined): void {
  if (typeof time !== 'bigint') {
    into.writeBigInt64LE(BigInt(time === 'now' ? UTIME_NOW : UTIME_OMIT), at + 8)
    return
  }
  const { seconds, nanoseconds } = toTimespec(time)
  into.writeBigInt64LE(seconds, at)
  into.writeBigInt64LE(nanoseconds, at + 8)
}

/** rename(2) with RENAME_NOREPLACE, RENAME_EXCHANGE. */
export function renameWithFlags(from: SystemPath, to: SystemPath, flags: number): void {
  const result = c.renameat2(AT_FDCWD, terminated(from), AT_FDCWD, terminated(to), flags)
  if ((result as number) !== 0) throw lastError('renameat2', from)
}

/** Gives an open file (O_PATH will do, O_TMPFILE too) another name. Needs CAP_DAC_READ_SEARCH. */
export function linkDescriptor(fd: number, to: SystemPath): void {
  const result = c.linkat(fd, terminated(''), AT_FDCWD, terminated(to), AT_EMPTY_PATH)
  if ((result as number) !== 0) throw lastError('linkat', to)
}

/** The target of a symbolic link that is open with O_PATH. */
export function readlinkOf(fd: number): Buffer {
  const into = Buffer.allocUnsafe(PATH_MAXIMUM_BYTES)
  const result = c.readlinkat(fd, terminated(''), into, into.length)
  return into.subarray(0, check('readlinkat', Number(result)))
}

export interface FolderName {
  readonly name: Buffer
  readonly inode: bigint
  /** File type bits as in stat(2); 0 where the file system does not tell. */
  readonly type: number
  /** Where reading goes on behind this name. */
  readonly next: bigint
}

/** The names of an open folder from a position on, "." and ".." too; none at its end. */
export function readNames(fd: number, position: bigint, maximumBytes: number): FolderName[] {
  check('lseek', Number(c.lseek(fd, position, SEEK_SET)))
  const into = Buffer.allocUnsafe(maximumBytes)
  const length = check('getdents64', Number(c.getdents64(fd, into, into.length)))
  const names: FolderName[] = []
  for (let at = 0; at < length; at += into.readUInt16LE(at + 16)) {
    const end = into.indexOf(0, at + DIRENT_NAME)
    names.push({
      name: Buffer.from(into.subarray(at + DIRENT_NAME, end)),
      inode: into.readBigUInt64LE(at),
      type: into.readUInt8(at + 18) << 12,
      next: into.readBigInt64LE(at + 8),
    })
  }
  return names
}

/** mknod(2) with the device number as the kernel encodes it in 32 bits. */
export function mknodEncoded(path: SystemPath, mode: number, device: number): void {
  mknod(path, mode, (device >>> 8) & 0xfff, (device & 0xff) | ((device >>> 12) & 0xfff00))
}

export function fallocate(fd: number, mode: number, offset: number, lengthBytes: number): void {
  check('fallocate', c.fallocate(fd, mode, offset, lengthBytes) as number)
}

/** On a thread of its own: zeroing gigabytes takes seconds. */
export async function fallocateAsync(
  fd: number,
  mode: number,
  range: { readonly offset: number; readonly lengthBytes: number },
): Promise<void> {
  const { offset, lengthBytes } = range
  await new Promise<void>((resolve, reject) => {
    c.fallocate.async(fd, mode, offset, lengthBytes, (error: unknown, result: number) => {
      if (error !== null) reject(error as Error)
      else if (result === 0) resolve()
      else reject(lastError('fallocate')) // koffi brings the errno of the thread along
    })
  })
}

/** Where reading and writing without an offset go on. */
export function positionOf(fd: number): number {
  return check('lseek', Number(c.lseek(fd, 0, SEEK_CUR)))
}

/**
 * The number of the mount that an open file is on, which no other mount has until the machine restarts;
 * undefined where the kernel has none (before 6.8).
 */
export function mountIdOf(fd: number): bigint | undefined {
  const into = Buffer.alloc(STATX_BYTES)
  check('statx', c.statx(fd, '', AT_EMPTY_PATH, STATX_MNT_ID_UNIQUE, into) as number)
  const isKnown = (into.readUInt32LE(0) & STATX_MNT_ID_UNIQUE) !== 0
  return isKnown ? into.readBigUInt64LE(STATX_MNT_ID_OFFSET) : undefined
}

/** Where data or a hole begins at or behind an offset; ENXIO when there is none. */
export function seekTo(fd: number, what: 'data' | 'hole', offset: number): number {
  const found = c.lseek(fd, offset, what === 'data' ? SEEK_DATA : SEEK_HOLE)
  return check('lseek', Number(found))
}

/** Copies a range inside of the kernel; the bytes copied, fewer at the end of the file. */
export function copyRange(
  from: { readonly fd: number; readonly offset: number },
  to: { readonly fd: number; readonly offset: number },
  lengthBytes: number,
): number {
  const offsets = [new BigInt64Array([BigInt(from.offset)]), new BigInt64Array([BigInt(to.offset)])]
  const result = c.copyFileRange(from.fd, offsets[0], to.fd, offsets[1], lengthBytes, 0)
  return check('copy_file_range', Number(result))
}
