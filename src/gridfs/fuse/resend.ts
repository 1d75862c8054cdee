// Taking over a mount from a process that is gone: the kernel asks again what that one has read and not
// answered. Invariant: when this returns, all that was pending then has been read here, so what else the dead
// process left behind belongs to requests that were answered. Specification: linux/fuse.h, FUSE_NOTIFY_RESEND.
import { readSync, writevSync } from 'node:fs'
import { errnoOf } from '../../core/core.ts'
import { setBlocking } from '../../host/host.ts'
import { encodeNotification } from './notification.ts'
import { decodeRequest, withoutResent, type FuseRequest } from './request.ts'
import { REQUEST_BYTES } from './session.ts'

export interface Resent {
  /** Requests as they were read, to be given to a session. */
  readonly requests: readonly Buffer[]
  /** The numbers of those that had been read before. */
  readonly uniques: ReadonlySet<bigint>
}

/** `fd` is the /dev/fuse of a mount that nobody reads from. Needs kernel 6.9. */
export function takeResent(fd: number): Resent {
  const requests: Buffer[] = []
  const uniques = new Set<bigint>()
  const buffer = Buffer.allocUnsafeSlow(REQUEST_BYTES)
  setBlocking(fd, false)
  try {
    writevSync(fd, [...encodeNotification({ type: 'resend' })])
    // They come before what was never read.
    for (let isNew = false; !isNew;) {
      const lengthBytes = readIfAny(fd, buffer)
      if (lengthBytes === 0) break
      const bytes = Buffer.from(buffer.subarray(0, lengthBytes))
      const { kind, header } = decodeRequest(bytes)
      if (header.isResent) uniques.add(withoutResent(header.unique))
      isNew = !header.isResent && !COME_BETWEEN.has(kind)
      requests.push(bytes)
    }
  } finally {
    setBlocking(fd, true)
  }
  return { requests, uniques }
}

/** The kernel has queues of their own for these. */
const COME_BETWEEN: ReadonlySet<FuseRequest['kind']> = new Set(['forget', 'interrupt'])

/** 0 when there is nothing to read, or nothing ever will be. */
function readIfAny(fd: number, buffer: Buffer): number {
  for (;;) {
    try {
      return readSync(fd, buffer)
    } catch (error) {
      const code = errnoOf(error)
      if (code !== 'ENOENT' && code !== 'EINTR') {
        if (code === 'EAGAIN' || code === 'ENODEV' || code === 'ECONNABORTED') return 0
        throw error
      }
    }
  }
}
