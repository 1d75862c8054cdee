// Locks are held by the server, for all mounts. What this mount locks is remembered, so that closing a file
// that nobody has locked asks nobody.
import { type FileLock } from '../fuse/control-operations.ts'
import { type Caller, type FuseHandlers } from '../fuse/file-system.ts'
import { type Mount } from './mount-context.ts'

export function lockHandlers(mount: Mount) {
  const { server } = mount
  return {
    async getlk(_id, { handle, owner, lock, isFlock }, caller) {
      const request = { handle, owner: toWireOwner(owner), isFlock, lock }
      const { found } = (await server.call('testLock', request, { caller })).reply
      if (found === undefined) return { ...lock, type: 'unlock' as const }
      return found
    },
    setlk: (id, fields, caller) => setLock(mount, id, { ...fields, waits: false, caller }),
    setlkw: (id, fields, caller) => setLock(mount, id, { ...fields, waits: true, caller }),
  } satisfies FuseHandlers
}

async function setLock(
  { server, state }: Mount,
  id: number,
  wanted: {
    readonly handle: number
    readonly owner: bigint
    readonly lock: FileLock
    readonly isFlock: boolean
    readonly waits: boolean
    readonly caller: Caller
  },
): Promise<void> {
  const { handle, lock, isFlock, waits, caller } = wanted
  if (!isFlock && lock.type !== 'unlock') state.lock(id)
  const request = { handle, owner: toWireOwner(wanted.owner), isFlock, lock, waits }
  await server.call('setLock', request, { caller })
}

/** The kernel's 64 bits as the wire's. */
export function toWireOwner(owner: bigint): bigint {
  return BigInt.asIntN(64, owner)
}
