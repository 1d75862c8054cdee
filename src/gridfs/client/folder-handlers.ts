// Operations on open folders. The names are fetched some hundreds at a time, with attributes when the kernel
// wants them, and kept for as long as the folder is open: a position is the count of names before it.
import { DirectoryBuffer } from '../fuse/directory-buffer.ts'
import { FuseError } from '../fuse/errno.ts'
import { type FuseHandlers } from '../fuse/file-system.ts'
import { type WireEntry } from '../wire/operations.ts'
import { type Mount } from './mount-context.ts'
import { entryOf } from './name-handlers.ts'

interface OpenFolder {
  readonly names: WireEntry[]
  next: bigint
  isComplete: boolean
}

const TYPE_FOLDER = 0o040000

export function folderHandlers(mount: Mount) {
  const { nodes } = mount
  const folders = new Map<number, OpenFolder>()
  return {
    opendir(id) {
      const handle = mount.nextHandle()
      folders.set(handle, begun(id))
      return { handle }
    },
    async readdir(id, { handle, offset, sizeBytes }, { signal }) {
      const buffer = new DirectoryBuffer(sizeBytes)
      const folder = reading(folders, handle, offset)
      for (let index = offset; ; index += 1) {
        const name = await nameAt(mount, { id, folder, index, hasAttributes: false, signal })
        if (name === undefined || !buffer.add({ ...name, nextOffset: index + 1 })) return buffer
      }
    },
    async readdirplus(id, { handle, offset, sizeBytes }, { signal }) {
      const buffer = new DirectoryBuffer(sizeBytes)
      const folder = reading(folders, handle, offset)
      for (let index = offset; ; index += 1) {
        const name = await nameAt(mount, { id, folder, index, hasAttributes: true, signal })
        if (name === undefined) return buffer
        const entry = name.found === undefined ? undefined : entryOf(mount, name.found)
        if (buffer.addWithEntry({ ...name, nextOffset: index + 1 }, entry)) continue
        if (entry !== undefined) nodes.forget([{ nodeId: entry.nodeId, lookups: 1 }])
        return buffer
      }
    },
    releasedir: (_id, { handle }) => void folders.delete(handle),
    fsyncdir: () => {},
  } satisfies FuseHandlers
}

function begun(id: number): OpenFolder {
  const names = ['.', '..'].map((name) => ({
    ...{ name: Buffer.from(name), inode: BigInt(id), type: TYPE_FOLDER, found: undefined },
  }))
  return { names, next: 0n, isComplete: false }
}

/** Reading from the beginning sees what has changed since. */
function reading(folders: Map<number, OpenFolder>, handle: number, offset: number): OpenFolder {
  const folder = folders.get(handle)
  if (folder === undefined) throw new FuseError('EBADF')
  if (offset === 0 && folder.next !== 0n) {
    folder.names.length = 2
    folder.next = 0n
    folder.isComplete = false
  }
  return folder
}

async function nameAt(
  { nodes, server }: Mount,
  wanted: {
    readonly id: number
    readonly folder: OpenFolder
    readonly index: number
    readonly hasAttributes: boolean
    readonly signal: AbortSignal
  },
): Promise<WireEntry | undefined> {
  const { folder, index, hasAttributes, signal } = wanted
  while (index >= folder.names.length && !folder.isComplete) {
    const request = { reference: nodes.reference(wanted.id), position: folder.next, hasAttributes }
    const { reply } = await server.call('readdir', request, { signal })
    folder.names.push(...reply.entries)
    folder.next = reply.next
    folder.isComplete = reply.entries.length === 0
  }
  return folder.names[index]
}
