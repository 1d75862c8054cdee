// Operations on open files. Reads and opens are calls of the server; writes are answered at once and sent
// behind (see pending-writes).
import { errnoOf } from '../../core/core.ts'
import { FuseError } from '../fuse/errno.ts'
import { type Caller, type FuseHandlers } from '../fuse/file-system.ts'
import { type Mount } from './mount-context.ts'
import { toWireOwner } from './lock-handlers.ts'
import { entryOf, fileOf, idsOf } from './name-handlers.ts'
import { seenIn } from './node-table.ts'

const SEEK_DATA = 3
const O_APPEND = 0o2000
const O_TRUNC = 0o1000
const O_EXCL = 0o200
/** Somebody else has just made the file: with this error the kernel looks again, and opens what it finds. */
const LOOK_AGAIN = 'ESTALE'

export function fileHandlers(mount: Mount) {
  const { nodes, server, state, unsynced, writes } = mount
  /** What is opened by a request that comes again has the handle that the server knows. */
  const newHandle = ({ unique }: Caller) => mount.handleOf(unique) ?? state.nextHandle()
  return {
    async open(id, { flags }, caller) {
      await writes.settled(id)
      const node = nodes.node(id)
      const handle = newHandle(caller)
      state.opened(handle, id, flags & ~O_TRUNC)
      try {
        const request = { reference: node.reference, handle, flags }
        const { reply } = await server.call('open', request, { caller })
        if ((flags & O_TRUNC) !== 0)
          unsynced.add(fileOf(mount, id), { kind: 'resize', sizeBytes: 0 })
        const seen = seenIn(reply)
        const isSame =
          seen.modifiedNs === node.seen?.modifiedNs &&
          seen.changedNs === node.seen.changedNs &&
          seen.sizeBytes === node.seen.sizeBytes
        node.seen = seen
        return { handle, keepsCache: isSame }
      } catch (error) {
        state.closed(handle)
        throw error
      }
    },
    async create(parent, { name, flags, mode }, caller) {
      const handle = newHandle(caller)
      const request = {
        ...{ parent: nodes.reference(parent), name, handle, flags, mode, caller: idsOf(caller) },
      }
      const { reply } = await server.call('create', request, { caller }).catch((error: unknown) => {
        throw errnoOf(error) === 'EEXIST' && (flags & O_EXCL) === 0
          ? new FuseError(LOOK_AGAIN)
          : error
      })
      const entry = entryOf(mount, reply)
      state.opened(handle, entry.nodeId, flags)
      return { entry, opened: { handle } }
    },
    async tmpfile(parent, { flags, mode }, caller) {
      const handle = newHandle(caller)
      const request = {
        parent: nodes.reference(parent),
        handle,
        flags,
        mode,
        caller: idsOf(caller),
      }
      const { reply } = await server.call('tmpfile', request, { caller })
      const entry = entryOf(mount, reply)
      state.opened(handle, entry.nodeId, flags)
      return { entry, opened: { handle } }
    },
    async read(id, { handle, offset, sizeBytes }, caller) {
      await writes.settled(id)
      const { data } = await server.call('read', { handle, offset, sizeBytes }, { caller })
      return data.length === 1 && data[0] !== undefined ? data[0] : Buffer.concat(data)
    },
    async write(id, { handle, offset, data, killsPrivileges }, caller) {
      const file = state.files.get(handle)
      if (file === undefined) throw new FuseError('EBADF')
      state.written(handle)
      const request = { handle, offset, killsPrivileges }
      if ((file.flags & O_APPEND) !== 0) {
        await writes.settled(id)
        const { reply } = await server.call('write', request, { caller, data: [data] })
        unsynced.add(file, { kind: 'write', offset: reply.offset, data: Buffer.from(data) })
        return data.length
      }
      await writes.room()
      await unsynced.room()
      const copy = Buffer.from(data) // the request's buffer is the kernel's again once it is answered
      const kept = Promise.withResolvers<void>()
      const onKept = () => {
        state.changed(file)
        const done = written.then(() => unsynced.add(file, { kind: 'write', offset, data: copy }))
        writes.add(id, copy.length, done)
        kept.resolve()
      }
      const written = server.call('write', request, { caller, data: [copy], onKept })
      await Promise.race([kept.promise, written])
      return copy.length
    },
    async flush(id, { handle, lockOwner }, caller) {
      await writes.flushed(id, handle, caller)
      const { signal } = caller // done twice, both do no harm
      const file = state.files.get(handle)
      if (file?.hasWritten === true) {
        await server.call('flush', { handle }, { signal })
        await writes.flushed(id, handle, caller)
      }
      if (state.locked.has(id)) {
        const owner = toWireOwner(lockOwner)
        await server.call('releaseLocks', { handle, owner, isFlock: false }, { signal })
      }
    },
    async release(id, { handle, unlocksFlock, lockOwner }, caller) {
      await writes.settled(id)
      if (unlocksFlock) {
        const owner = toWireOwner(lockOwner)
        await server.call('releaseLocks', { handle, owner, isFlock: true })
      }
      state.closed(handle)
      await server.call('release', { handle }, { caller })
    },
    async fsync(id, { handle, isDataOnly }, caller) {
      await writes.flushed(id, handle, caller)
      await unsynced.synced(fileOf(mount, id).reference, () =>
        server.call('fsync', { handle, isDataOnly }, { caller }),
      )
      await writes.flushed(id, handle, caller) // what was found out while the server was away
    },
    async fallocate(id, { handle, offset, lengthBytes, mode }, caller) {
      await writes.settled(id)
      await server.call('fallocate', { handle, offset, lengthBytes, mode }, { caller })
      unsynced.add(fileOf(mount, id), { kind: 'unknown' })
    },
    async lseek(id, { handle, offset, whence }, caller) {
      await writes.settled(id)
      const what = whence === SEEK_DATA ? ('data' as const) : ('hole' as const)
      return (await server.call('seek', { handle, offset, what }, { caller })).reply.offset
    },
    async copyFileRange(id, { handle, offset, toNodeId, toHandle, toOffset, lengthBytes }, caller) {
      await writes.settled(id)
      await writes.settled(toNodeId)
      const request = { handle, offset, toHandle, toOffset, lengthBytes }
      const { reply } = await server.call('copy', request, { caller })
      unsynced.add(fileOf(mount, toNodeId), { kind: 'unknown' })
      return reply.lengthBytes
    },
  } satisfies FuseHandlers
}
