// Operations on open files. Reads and opens are calls of the server; writes are answered at once and sent
// behind (see pending-writes).
import { FuseError } from '../fuse/errno.ts'
import { type FuseHandlers } from '../fuse/file-system.ts'
import { type Mount } from './mount-context.ts'
import { toWireOwner } from './lock-handlers.ts'
import { entryOf } from './name-handlers.ts'
import { seenIn } from './node-table.ts'

const SEEK_DATA = 3
const O_APPEND = 0o2000
const O_TRUNC = 0o1000

export function fileHandlers(mount: Mount) {
  const { nodes, server, writes, openFiles } = mount
  const take = (handle: number, nodeId: number, flags: number) => {
    const reference = nodes.reference(nodeId)
    openFiles.set(handle, { nodeId, reference, flags, hasWritten: false })
  }
  return {
    async open(id, { flags }, { signal }) {
      await writes.settled(id)
      const node = nodes.node(id)
      const handle = mount.nextHandle()
      take(handle, id, flags & ~O_TRUNC)
      try {
        const request = { reference: node.reference, handle, flags }
        const { reply } = await server.call('open', request, { signal })
        const seen = seenIn(reply)
        const { modifiedNs, changedNs, sizeBytes } = node.seen
        const isSame =
          seen.modifiedNs === modifiedNs &&
          seen.changedNs === changedNs &&
          seen.sizeBytes === sizeBytes
        node.seen = seen
        return { handle, keepsCache: isSame }
      } catch (error) {
        openFiles.delete(handle)
        throw error
      }
    },
    async create(parent, { name, flags, mode }, { uid, gid, signal }) {
      const handle = mount.nextHandle()
      const request = {
        ...{ parent: nodes.reference(parent), name, handle, flags, mode, caller: { uid, gid } },
      }
      const { reply } = await server.call('create', request, { signal })
      const entry = entryOf(mount, reply)
      take(handle, entry.nodeId, flags)
      return { entry, opened: { handle } }
    },
    async tmpfile(parent, { flags, mode }, { uid, gid, signal }) {
      const handle = mount.nextHandle()
      const request = { parent: nodes.reference(parent), handle, flags, mode, caller: { uid, gid } }
      const { reply } = await server.call('tmpfile', request, { signal })
      const entry = entryOf(mount, reply)
      take(handle, entry.nodeId, flags)
      return { entry, opened: { handle } }
    },
    async read(id, { handle, offset, sizeBytes }, { signal }) {
      await writes.settled(id)
      const { data } = await server.call('read', { handle, offset, sizeBytes }, { signal })
      return data.length === 1 && data[0] !== undefined ? data[0] : Buffer.concat(data)
    },
    async write(id, { handle, offset, data, killsPrivileges }, { signal }) {
      const file = openFiles.get(handle)
      if (file === undefined) throw new FuseError('EBADF')
      file.hasWritten = true
      const request = { handle, offset, killsPrivileges }
      if ((file.flags & O_APPEND) !== 0) {
        await writes.settled(id)
        await server.call('write', request, { signal, data: [data] })
        return data.length
      }
      await writes.room()
      const copy = Buffer.from(data) // the request's buffer is the kernel's again once it is answered
      writes.add(id, copy.length, server.call('write', request, { data: [copy] }))
      return copy.length
    },
    async flush(id, { handle, lockOwner }, { signal }) {
      await writes.flushed(id)
      const file = openFiles.get(handle)
      if (file?.hasWritten === true) await server.call('flush', { handle }, { signal })
      if (mount.locked.has(id)) {
        const owner = toWireOwner(lockOwner)
        await server.call('releaseLocks', { handle, owner, isFlock: false }, { signal })
      }
    },
    async release(id, { handle, unlocksFlock, lockOwner }) {
      await writes.settled(id)
      if (unlocksFlock) {
        const owner = toWireOwner(lockOwner)
        await server.call('releaseLocks', { handle, owner, isFlock: true })
      }
      openFiles.delete(handle)
      await server.call('release', { handle })
    },
    async fsync(id, { handle, isDataOnly }, { signal }) {
      await writes.flushed(id)
      await server.call('fsync', { handle, isDataOnly }, { signal })
    },
    async fallocate(id, { handle, offset, lengthBytes, mode }, { signal }) {
      await writes.settled(id)
      await server.call('fallocate', { handle, offset, lengthBytes, mode }, { signal })
    },
    async lseek(id, { handle, offset, whence }, { signal }) {
      await writes.settled(id)
      const what = whence === SEEK_DATA ? ('data' as const) : ('hole' as const)
      return (await server.call('seek', { handle, offset, what }, { signal })).reply.offset
    },
    async copyFileRange(
      id,
      { handle, offset, toNodeId, toHandle, toOffset, lengthBytes },
      { signal },
    ) {
      await writes.settled(id)
      await writes.settled(toNodeId)
      const request = { handle, offset, toHandle, toOffset, lengthBytes }
      return (await server.call('copy', request, { signal })).reply.lengthBytes
    },
  } satisfies FuseHandlers
}
