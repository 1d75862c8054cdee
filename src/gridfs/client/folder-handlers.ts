// Operations on open folders. The names are fetched some hundreds at a time, with attributes when the kernel
// wants them, and kept for as long as the folder is open: a position is the count of names before it.
import { DirectoryBuffer } from '../fuse/directory-buffer.ts'
import { type Caller, type FuseHandlers } from '../fuse/file-system.ts'
import { type WireEntry } from '../wire/operations.ts'
import { type Mount } from './mount-context.ts'
import { entryOf } from './name-handlers.ts'

export function folderHandlers(mount: Mount) {
  const { nodes, state } = mount
  return {
    opendir(id) {
      const handle = state.nextHandle()
      state.openedFolder(handle, id)
      return { handle }
    },
    async readdir(_id, { handle, offset, sizeBytes }, caller) {
      const buffer = new DirectoryBuffer(sizeBytes)
      begin(mount, handle, offset)
      for (let index = offset; ; index += 1) {
        const name = await nameAt(mount, { handle, index, hasAttributes: false, caller })
        if (name === undefined || !buffer.add({ ...name, nextOffset: index + 1 })) return buffer
      }
    },
    async readdirplus(_id, { handle, offset, sizeBytes }, caller) {
      const buffer = new DirectoryBuffer(sizeBytes)
      begin(mount, handle, offset)
      for (let index = offset; ; index += 1) {
        const name = await nameAt(mount, { handle, index, hasAttributes: true, caller })
        if (name === undefined) return buffer
        const entry = name.found === undefined ? undefined : entryOf(mount, name.found)
        if (buffer.addWithEntry({ ...name, nextOffset: index + 1 }, entry)) continue
        if (entry !== undefined) nodes.forget([{ nodeId: entry.nodeId, lookups: 1 }])
        return buffer
      }
    },
    releasedir: (_id, { handle }) => state.closedFolder(handle),
    fsyncdir: () => {},
  } satisfies FuseHandlers
}

/** Reading from the beginning sees what has changed since. */
function begin({ state }: Mount, handle: number, offset: number): void {
  if (offset === 0 && state.folder(handle).next !== 0n) state.rewound(handle)
}

async function nameAt(
  { nodes, server, state }: Mount,
  wanted: {
    readonly handle: number
    readonly index: number
    readonly hasAttributes: boolean
    readonly caller: Caller
  },
): Promise<WireEntry | undefined> {
  const { handle, index, hasAttributes, caller } = wanted
  for (;;) {
    const { nodeId, names, next: position, isComplete } = state.folder(handle)
    if (index < names.length || isComplete) return names[index]
    const request = { reference: nodes.reference(nodeId), position, hasAttributes }
    const { reply } = await server.call('readdir', request, { caller })
    state.read(handle, reply.entries, reply.next)
  }
}
