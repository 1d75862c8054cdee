// System calls that Node lacks, through koffi. Every function is synchronous, takes paths as bytes or
// text (so names that are not UTF-8 survive) and throws an error that looks like Node's own:
// `code` is the errno's name, `syscall` the call. See man 2 of each call.
import { constants } from 'node:fs'
import { toTimespec } from '../core/core.ts'
import { check, lastError, libc, systemError, terminated, type SystemPath } from './libc.ts'

export { type SystemPath } from './libc.ts'

const c = {
  lsetxattr: libc.func(
    'int lsetxattr(const uint8_t *, const uint8_t *, const uint8_t *, size_t, int)',
  ),
  fsetxattr: libc.func('int fsetxattr(int, const uint8_t *, const uint8_t *, size_t, int)'),
  lgetxattr: libc.func('int64_t lgetxattr(const uint8_t *, const char *, _Out_ uint8_t *, size_t)'),
  lremovexattr: libc.func('int lremovexattr(const uint8_t *, const char *)'),
  llistxattr: libc.func('int64_t llistxattr(const uint8_t *, _Out_ uint8_t *, size_t)'),
  mknod: libc.func('int mknod(const uint8_t *, uint32_t, uint64_t)'),
  utimensat: libc.func('int utimensat(int, const uint8_t *, const uint8_t *, int)'),
  futimens: libc.func('int futimens(int, const uint8_t *)'),
  memfdCreate: libc.func('int memfd_create(const char *, uint32_t)'),
  syncfs: libc.func('int syncfs(int)'),
  syncFileRange: libc.func('int sync_file_range(int, int64_t, int64_t, uint32_t)'),
  copyFileRange: libc.func(
    'int64_t copy_file_range(int, int64_t *, int, int64_t *, size_t, uint32_t)',
  ),
  flock: libc.func('int flock(int, int)'),
  pipe2: libc.func('int pipe2(_Out_ int *, int)'),
  fcntl: libc.func('int fcntl(int, int, ...)'),
}

const AT_FDCWD = -100
const AT_SYMLINK_NOFOLLOW = 0x100
const UTIME_OMIT = 0x3ffffffe
const O_CLOEXEC = 0o2000000
const MFD_CLOEXEC = 1
const F_DUPFD_CLOEXEC = 1030
const F_SETPIPE_SZ = 1031
const F_GETFL = 3
const F_SETFL = 4
const LOCK_NB = 4
const EIO = 5
const SYNC_FILE_RANGE_WRITE = 2
const XATTR_FIRST_GUESS_BYTES = 4096

/** Sets an extended attribute without following a symlink at the end of the path (lsetxattr(2)). */
export function lsetxattr(path: SystemPath, name: SystemPath, value: Uint8Array): void {
  const result = c.lsetxattr(terminated(path), terminated(name), value, value.length, 0) as number
  if (result !== 0) throw lastError('lsetxattr', path)
}

/** As `lsetxattr` on an open file. */
export function fsetxattr(fd: number, name: SystemPath, value: Uint8Array): void {
  check('fsetxattr', c.fsetxattr(fd, terminated(name), value, value.length, 0) as number)
}

/** The value of an extended attribute; undefined when the file has none of that name. */
export function lgetxattr(path: SystemPath, name: string): Buffer | undefined {
  const bytes = terminated(path)
  const read = (into: Buffer) => c.lgetxattr(bytes, name, into, into.length) as number
  return readGrowing('lgetxattr', path, read)
}

/** Removes an extended attribute; ENODATA when there is none of that name. */
export function lremovexattr(path: SystemPath, name: string): void {
  if ((c.lremovexattr(terminated(path), name) as number) !== 0)
    throw lastError('lremovexattr', path)
}

/** The names of all extended attributes that the caller may see. */
export function llistxattr(path: SystemPath): readonly string[] {
  const bytes = terminated(path)
  const read = (into: Buffer) => c.llistxattr(bytes, into, into.length) as number
  const list = readGrowing('llistxattr', path, read)
  return list === undefined || list.length === 0
    ? []
    : list.toString('utf8', 0, list.length - 1).split('\0')
}

/** Creates a device node, fifo or socket; `mode` holds the type bits (S_IFCHR …) and permissions. */
export function mknod(path: SystemPath, mode: number, major: number, minor: number): void {
  if ((c.mknod(terminated(path), mode, deviceNumber(major, minor)) as number) !== 0) {
    throw lastError('mknod', path)
  }
}

/** Sets the modification time in nanoseconds since 1970 (negative before) without following a symlink. */
export function utimensat(path: SystemPath, mtimeNs: bigint): void {
  const times = encodeTimes(mtimeNs)
  if ((c.utimensat(AT_FDCWD, terminated(path), times, AT_SYMLINK_NOFOLLOW) as number) !== 0) {
    throw lastError('utimensat', path)
  }
}

/** As `utimensat` on an open file. */
export function futimens(fd: number, mtimeNs: bigint): void {
  check('futimens', c.futimens(fd, encodeTimes(mtimeNs)) as number)
}

/** An anonymous file in RAM; freed when its last descriptor is closed. */
export function memfdCreate(name: string): number {
  return check('memfd_create', c.memfdCreate(name, MFD_CLOEXEC) as number)
}

/**
 * Writes everything buffered for the file system that holds `fd` to its disk, on a thread of its own
 * (syncfs(2)). Rejects with EIO whatever the reason: errno stays on the other thread.
 */
export function syncfsAsync(fd: number): Promise<void> {
  return callAsync('syncfs', (done) => c.syncfs.async(fd, done))
}

/**
 * Has the kernel begin to write a range of a file to its disk, so that a later fsync finds little left
 * (sync_file_range(2)). No promise that anything is on the disk. Rejects as `syncfsAsync` does.
 */
export function startWriteback(fd: number, offset: number, lengthBytes: number): Promise<void> {
  return callAsync('sync_file_range', (done) =>
    c.syncFileRange.async(fd, offset, lengthBytes, SYNC_FILE_RANGE_WRITE, done),
  )
}

/**
 * Copies bytes from where one open file stands to where another stands, inside the kernel or the storage
 * (copy_file_range(2)); resolves to the bytes copied, 0 at the end of the file, and undefined where this
 * pair of files cannot be copied so, or an error happened, which reading and writing will tell.
 */
export function copyFileRange(
  fromFd: number,
  toFd: number,
  lengthBytes: number,
): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    c.copyFileRange.async(
      ...([fromFd, null, toFd, null, lengthBytes, 0] as const),
      (error: unknown, result: number | bigint) => {
        if (error !== null) reject(error as Error)
        else resolve(Number(result) < 0 ? undefined : Number(result))
      },
    )
  })
}

function callAsync(
  name: string,
  call: (done: (error: unknown, result: number) => void) => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    call((error, result) => {
      if (error !== null) reject(error as Error)
      else if (result !== 0) reject(systemError(name, EIO))
      else resolve()
    })
  })
}

const LOCKS = { exclusive: 2, shared: 1, unlock: 8 } as const

/** Takes or gives back a lock that the kernel frees with the descriptor; false when held elsewhere. */
export function flock(fd: number, operation: keyof typeof LOCKS): boolean {
  if ((c.flock(fd, LOCKS[operation] | LOCK_NB) as number) === 0) return true
  const error = lastError('flock')
  if (error.code === 'EAGAIN') return false
  throw error
}

/** A pipe (close-on-exec) whose kernel buffer holds `bufferBytes`, or the default where not allowed. */
export function pipe(bufferBytes: number): { readonly readFd: number; readonly writeFd: number } {
  const fds = new Int32Array(2)
  check('pipe2', c.pipe2(fds, O_CLOEXEC) as number)
  const [readFd = -1, writeFd = -1] = fds
  c.fcntl(writeFd, F_SETPIPE_SZ, 'int', bufferBytes) // beyond pipe-max-size: keeps the default
  return { readFd, writeFd }
}

/** Whether reads wait for something to read: of the open file, for all who share it (O_NONBLOCK). */
export function setBlocking(fd: number, isBlocking: boolean): void {
  const flags = check('fcntl', c.fcntl(fd, F_GETFL, 'int', 0) as number)
  const changed = isBlocking ? flags & ~constants.O_NONBLOCK : flags | constants.O_NONBLOCK
  check('fcntl', c.fcntl(fd, F_SETFL, 'int', changed) as number)
}

/** Another descriptor (close-on-exec) for the same open file or socket (fcntl(2), F_DUPFD_CLOEXEC). */
export function duplicate(fd: number): number {
  return check('fcntl', c.fcntl(fd, F_DUPFD_CLOEXEC, 'int', 0) as number)
}

/** dev_t as glibc and the kernel's 64-bit interfaces encode it (makedev(3)). */
function deviceNumber(major: number, minor: number): bigint {
  const [high, low] = [BigInt(major), BigInt(minor)]
  return (
    ((high & 0xfffff000n) << 32n) |
    ((high & 0xfffn) << 8n) |
    ((low & 0xffffff00n) << 12n) |
    (low & 0xffn)
  )
}

const times = Buffer.alloc(32) // two struct timespec: access time (left alone), modification time
const timesView = new DataView(times.buffer, times.byteOffset, times.length)
const HOST_IS_LITTLE_ENDIAN = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1

function encodeTimes(mtimeNs: bigint): Buffer {
  const { seconds, nanoseconds } = toTimespec(mtimeNs)
  timesView.setBigInt64(8, BigInt(UTIME_OMIT), HOST_IS_LITTLE_ENDIAN)
  timesView.setBigInt64(16, seconds, HOST_IS_LITTLE_ENDIAN)
  timesView.setBigInt64(24, nanoseconds, HOST_IS_LITTLE_ENDIAN)
  return times
}

function readGrowing(
  syscall: string,
  path: SystemPath,
  read: (into: Buffer) => number,
): Buffer | undefined {
  for (let size = XATTR_FIRST_GUESS_BYTES; ; size *= 4) {
    const into = Buffer.alloc(size)
    const length = Number(read(into))
    if (length >= 0) return into.subarray(0, length)
    const error = lastError(syscall, path)
    if (error.code === 'ENODATA') return undefined
    if (error.code !== 'ERANGE') throw error
  }
}
