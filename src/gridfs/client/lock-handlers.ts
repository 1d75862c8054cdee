// Locks are held by the server, for all mounts. What this mount locks is remembered, so that closing a file
// that nobody has locked asks nobody.
import { type FileLock } from '../fuse/control-operations.ts'
import { type FuseHandlers } from '../fuse/file-system.ts'
import { type Mount } from './mount-context.ts'

export function lockHandlers(mount: Mount) {
  const { server } = mount
  return {
    async getlk(_id, { handle, owner, lock, isFlock }, { signal }) {
      const request = { handle, owner: toWireOwner(owner), isFlock, lock }
      const { found } = (await server.call('testLock', request, { signal })).reply
      if (found === undefined) return { ...lock, type: 'unlock' as const }
      return found
    },
    setlk: (id, fields, { signal }) => setLock(mount, id, { ...fields, waits: false, signal }),
    setlkw: (id, fields, { signal }) => setLock(mount, id, { ...fields, waits: true, signal }),
  } satisfies FuseHandlers
}

async function setLock(
  { server, locked }: Mount,
  id: number,
  wanted: {
    readonly handle: number
    readonly owner: bigint
    readonly lock: FileLock
    readonly isFlock: boolean
    readonly waits: boolean
    readonly signal: AbortSignal
  },
): Promise<void> {
  const { handle, lock, isFlock, waits, signal } = wanted
  if (!isFlock && lock.type !== 'unlock') locked.add(id)
  const request = { handle, owner: toWireOwner(wanted.owner), isFlock, lock, waits }
  await server.call('setLock', request, { signal })
}

/** The kernel's 64 bits as the wire's. */
export function toWireOwner(owner: bigint): bigint {
  return BigInt.asIntN(64, owner)
}
