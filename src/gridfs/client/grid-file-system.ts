// A grid file system as a FUSE file system: handlers that call a server, and what the server tells the
// kernel through us.
import { asBuffer } from '../../core/core.ts'
import { type FuseFileSystem } from '../fuse/file-system.ts'
import { type Notification } from '../fuse/notification.ts'
import { operationOf, type Push } from '../wire/message.ts'
import { fileHandlers } from './file-handlers.ts'
import { folderHandlers } from './folder-handlers.ts'
import { type MemberState } from './link-state.ts'
import { lockHandlers } from './lock-handlers.ts'
import { MeasuredVolume, type VolumeFigures } from './measured-volume.ts'
import { type Mount, type MountBehaviour } from './mount-context.ts'
import { type MountState } from './mount-state.ts'
import { nameHandlers } from './name-handlers.ts'
import { type NodeTable } from './node-table.ts'
import { PendingWrites } from './pending-writes.ts'
import { type KeptSession } from './session-slots.ts'
import { type SlotRecord } from './slot-records.ts'
import { UnsyncedWrites } from './unsynced-writes.ts'
import { type Volume, type VolumeOptions } from './volume.ts'

export interface GridFileSystemOptions
  extends Pick<VolumeOptions, 'credentials' | 'softMs' | 'onNote'>, MountBehaviour {
  /** Begins to connect to what is mounted. */
  readonly openVolume: (options: VolumeOptions) => Volume
  readonly state: MountState
  /** What earlier processes have left to be settled. */
  readonly session: Omit<KeptSession, 'id' | 'onOwed' | 'meet'>
  /** Tells the kernel what to drop. */
  readonly notify: (notification: Notification) => void
}

export interface GridFileSystem extends FuseFileSystem {
  /** Settles when the server has let us in. */
  readonly ready: Volume['ready']
  /** How it is, for people. */
  status(): VolumeFigures & { readonly servers: readonly MemberState[] }
  /** As `Volume.setPatience`. */
  setPatience(isPatient: boolean): void
  close(): void
}

const PENDING_BYTES = 32 * 2 ** 20
const OPENING = new Set(
  (['open', 'create', 'tmpfile'] as const).map((name) => operationOf(name).code),
)

export function createGridFileSystem(options: GridFileSystemOptions): GridFileSystem {
  const { credentials, softMs, onNote, state } = options
  const { nodes, files } = state
  const writes = new PendingWrites(PENDING_BYTES, state)
  const volume = options.openVolume({
    ...{ credentials, softMs, onNote },
    kept: {
      ...{ ...options.session, id: state.session },
      onOwed({ handle, sizeBytes, written }) {
        const file = files.get(handle)
        if (file === undefined) return
        const done = written.then(() => unsynced.add(file, { kind: 'unknown' }))
        writes.add(file.nodeId, sizeBytes, done)
      },
      async meet(verifier, call) {
        const hasRestarted =
          state.verifier !== undefined && !asBuffer(verifier).equals(state.verifier)
        if (hasRestarted) await unsynced.restore(call)
        state.met(verifier)
      },
    },
    // After the answers that came before it have reached the kernel: they are older.
    onPush: (push) => void setImmediate(() => onPush(nodes, push, options.notify)),
    openFiles: () =>
      [...files].map(([handle, { reference, flags }]) => ({ handle, reference, flags })),
    onLost: (handles) => onNote(`${handles.length} open files are no more`),
  })
  const server = new MeasuredVolume(volume)
  const unsynced = new UnsyncedWrites({
    ...{ state, onNote },
    call: (...args) => server.call(...args),
  })
  const handles = handlesAsked(options.session.used)
  for (const handle of handles.values()) state.reserveHandle(handle)
  const handleOf = (unique: bigint) => handles.get(unique)
  const mount: Mount = { server, nodes, state, writes, unsynced, options, handleOf }
  return {
    handlers: {
      ...nameHandlers(mount),
      ...fileHandlers(mount),
      ...folderHandlers(mount),
      ...lockHandlers(mount),
    },
    forget: (forgotten) => nodes.forget(forgotten),
    beforeAnswer: () => state.flush(),
    capabilities: () => [
      ...(['asyncRead', 'atomicTruncate', 'bigWrites', 'readdirplus', 'asyncDirectIo'] as const),
      ...(['parallelFolderOperations', 'handleKillPrivileges2'] as const),
      ...(['abortError', 'maximumPages', 'initExtended', 'posixLocks', 'flockLocks'] as const),
      ...(['expireOnly', 'resend', 'explicitInvalidateData'] as const),
    ],
    ready: server.ready.then((hello) => {
      nodes.adopt(hello.root)
      return hello
    }),
    status: () => ({ servers: server.state(), ...server.figures() }),
    setPatience: (isPatient) => server.setPatience(isPatient),
    close() {
      unsynced.close()
      server.close()
    },
  }
}

/** By the request of the kernel that asked for something to be opened. */
function handlesAsked(used: readonly SlotRecord[]): ReadonlyMap<bigint, number> {
  const asked = used.filter(({ operation }) => OPENING.has(operation))
  return new Map(asked.map(({ unique, handle }) => [unique, handle]))
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
    case 'wanted':
    case 'standing':
      return // of mirrors, which hear it before us
    default:
      push satisfies never
  }
}
