// System calls that move payload between files, sockets and memory without a thread and without a wait: what
// cannot be done at once is left undone, and said so. Errors are thrown as by syscalls.ts. See man 2 of each.
import { lastError, libc } from './libc.ts'

const c = {
  sendfile: libc.func('int64_t sendfile64(int, int, int64_t *, size_t)'),
  recv: libc.func('int64_t recv(int, uint8_t *, size_t, int)'),
  ioctl: libc.func('int ioctl(int, uint64_t, int32_t *)'),
  setsockopt: libc.func('int setsockopt(int, int, int, const int *, uint32_t)'),
  cachestat: libc.func('int64_t syscall(int64_t, uint32_t, uint64_t *, uint64_t *, uint32_t)'),
}

const IPPROTO_TCP = 6
const TCP_NOTSENT_LOWAT = 25
const FIONREAD = 0x541b
const MSG_DONTWAIT = 0x40

/** The same number on all architectures that came after 2019, and on x86-64. */
const SYS_CACHESTAT = 451

/** Of x86-64, and of most arm64 kernels; larger pages of others are counted as too few: not cached. */
const PAGE_BYTES = 4096

/**
 * The kernel takes no more for this TCP socket while so much waits to be sent (tcp(7),
 * TCP_NOTSENT_LOWAT); what is under way does not count. A kernel without the option keeps its default.
 */
export function limitUnsent(fd: number, unsentBytes: number): void {
  c.setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, new Int32Array([unsentBytes]), 4)
}

const offsetCell = new BigInt64Array(1)

/**
 * Sends bytes of a file by a non-blocking socket straight from the page cache (sendfile(2)). Returns how many
 * the socket took, 0 at the end of the file; undefined when it takes none now.
 */
export function sendFile(
  socketFd: number,
  fd: number,
  span: { readonly positionBytes: number; readonly lengthBytes: number },
): number | undefined {
  offsetCell[0] = BigInt(span.positionBytes)
  const sent = c.sendfile(socketFd, fd, offsetCell, span.lengthBytes) as number
  return sent >= 0 ? sent : orLater('sendfile')
}

/**
 * Fills `into` with what has come by a socket (recv(2)), without waiting. Returns how many bytes, 0 when the
 * other side has ended; undefined when there is nothing now.
 */
export function receive(socketFd: number, into: Uint8Array): number | undefined {
  const received = c.recv(socketFd, into, into.length, MSG_DONTWAIT) as number
  return received >= 0 ? received : orLater('recv')
}

function orLater(syscall: string): undefined {
  const error = lastError(syscall)
  if (error.code !== 'EAGAIN') throw error
}

const countCell = new Int32Array(1)

/** Bytes that can be received at once (ioctl(2), FIONREAD); 0 also for what is no open socket. */
export function receivableBytes(socketFd: number): number {
  return c.ioctl(socketFd, FIONREAD, countCell) === 0 ? (countCell[0] ?? 0) : 0
}

const rangeCells = new BigUint64Array(2)
const cacheCells = new BigUint64Array(5)

/**
 * Whether all these bytes of a file are in the page cache (cachestat(2)). False also where the kernel does not
 * tell: before Linux 6.5, for files that are not ours, for some file systems.
 */
export function isCached(
  fd: number,
  span: { readonly positionBytes: number; readonly lengthBytes: number },
): boolean {
  const firstPage = Math.floor(span.positionBytes / PAGE_BYTES)
  const endPage = Math.ceil((span.positionBytes + span.lengthBytes) / PAGE_BYTES)
  rangeCells[0] = BigInt(span.positionBytes)
  rangeCells[1] = BigInt(span.lengthBytes)
  if (c.cachestat(SYS_CACHESTAT, fd, rangeCells, cacheCells, 0) !== 0) return false
  return Number(cacheCells[0]) >= endPage - firstPage
}
