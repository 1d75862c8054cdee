// What the kernel tells about its page cache.
import { closeSync, writeSync } from 'node:fs'
import { isCached, memfdCreate } from '../../src/host/host.ts'

/** Whether this kernel has cachestat(2). */
export function kernelTellsCached(): boolean {
  const fd = memfdCreate('si-test')
  writeSync(fd, Buffer.alloc(1))
  const isTold = isCached(fd, { positionBytes: 0, lengthBytes: 1 })
  closeSync(fd)
  return isTold
}
