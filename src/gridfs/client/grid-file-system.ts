// A grid file system as a FUSE file system: handlers that call a server, and what the server tells the
// kernel through us.
import { type FuseFileSystem } from '../fuse/file-system.ts'
import { type Notification } from '../fuse/notification.ts'
import { type Push } from '../wire/message.ts'
import { fileHandlers } from './file-handlers.ts'
import { folderHandlers } from './folder-handlers.ts'
import { lockHandlers } from './lock-handlers.ts'
import { type Mount, type MountBehaviour, type OpenFile } from './mount-context.ts'
import { nameHandlers } from './name-handlers.ts'
import { NodeTable } from './node-table.ts'
import { PendingWrites } from './pending-writes.ts'
import { type Volume, type VolumeOptions } from './volume.ts'

export interface GridFileSystemOptions
  extends Pick<VolumeOptions, 'credentials' | 'softMs' | 'onNote'>, MountBehaviour {
  /** Begins to connect to what is mounted. */
  readonly openVolume: (options: VolumeOptions) => Volume
  /** Tells the kernel what to drop. */
  readonly notify: (notification: Notification) => void
}

export interface GridFileSystem extends FuseFileSystem {
  /** Settles when the server has let us in. */
  readonly ready: Promise<unknown>
  /** As `Volume.setPatience`. */
  setPatience(isPatient: boolean): void
  close(): void
}

const PENDING_BYTES = 32 * 2 ** 20

export function createGridFileSystem(options: GridFileSystemOptions): GridFileSystem {
  const nodes = new NodeTable()
  const openFiles = new Map<number, OpenFile>()
  const { credentials, softMs, onNote } = options
  const server = options.openVolume({
    ...{ credentials, softMs, onNote },
    onPush: (push) => onPush(nodes, push, options.notify),
    openFiles: () =>
      [...openFiles].map(([handle, { reference, flags }]) => ({ handle, reference, flags })),
    onLost: (handles) => onNote(`${handles.length} open files are no more`),
  })
  let lastHandle = 0
  const mount: Mount = {
    ...{ server, nodes, openFiles, options, locked: new Set() },
    writes: new PendingWrites(PENDING_BYTES),
    nextHandle: () => (lastHandle += 1),
  }
  return {
    handlers: {
      ...nameHandlers(mount),
      ...fileHandlers(mount),
      ...folderHandlers(mount),
      ...lockHandlers(mount),
    },
    forget: (forgotten) => nodes.forget(forgotten),
    capabilities: () => [
      ...(['asyncRead', 'atomicTruncate', 'bigWrites', 'readdirplus', 'asyncDirectIo'] as const),
      ...(['parallelFolderOperations', 'handleKillPrivileges2'] as const),
      ...(['abortError', 'maximumPages', 'initExtended', 'posixLocks', 'flockLocks'] as const),
      ...(['expireOnly', 'resend', 'explicitInvalidateData'] as const),
    ],
    ready: server.ready.then(({ root }) => nodes.adopt(root)),
    setPatience: (isPatient) => server.setPatience(isPatient),
    close: () => server.close(),
  }
}

function onPush(nodes: NodeTable, push: Push, notify: (notification: Notification) => void): void {
  switch (push.name) {
    case 'changed': {
      const node = nodes.byReference(push.body.reference)
      if (node === undefined) return
      // Content is judged at the next opening: a file that is open keeps what it has seen.
      const offset = push.body.hasNewContent ? 0 : -1
      notify({ type: 'invalidate-inode', nodeId: node.id, offset, lengthBytes: 0 })
      return
    }
    case 'renamed': {
      const parent = nodes.byReference(push.body.parent)
      if (parent === undefined) return
      const name = Buffer.from(push.body.name)
      notify({ type: 'invalidate-entry', parent: parent.id, name, expireOnly: false })
      return
    }
    default:
      push satisfies never
  }
}
