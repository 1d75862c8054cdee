// Serves a mounted grid file system: the kernel on one side, the server on the other. The first process of a
// mount mounts it; those after it go on with what the kernel and the state of the mount say.
import { abortedError, messageOf, SiError } from '../../core/core.ts'
import {
  armMountGuard,
  detachMount,
  mountFuseDevice,
  setReadahead,
  unmount,
} from '../../host/host.ts'
import { takeResent } from '../fuse/resend.ts'
import { MAXIMUM_WRITE_BYTES, startFuseSession, type FuseSession } from '../fuse/session.ts'
import { openVolume } from '../volumes/open-volume.ts'
import { formatVolumeSource, memberName, type VolumeSource } from '../volumes/volume-source.ts'
import {
  createGridFileSystem,
  type GridFileSystem,
  type GridFileSystemOptions,
} from './grid-file-system.ts'
import { MountState } from './mount-state.ts'
import { serveMountStatus } from './mount-status.ts'
import { SlotRecords } from './slot-records.ts'

export interface GridMountOptions extends Omit<
  GridFileSystemOptions,
  'notify' | 'openVolume' | 'state' | 'session'
> {
  readonly source: VolumeSource
  readonly directory: string
  /** Said to the kernel when it is mounted: ro, nodev … */
  readonly options: readonly string[]
  /** Descriptors that the processes of a mount share: /dev/fuse, two files, the mount's guard. */
  readonly fds: Readonly<Record<'device' | 'state' | 'slots' | 'guard', number>>
  /** Unmounts. */
  readonly signal: AbortSignal
}

export interface GridMount {
  /** Settles when it is unmounted. */
  readonly ended: Promise<void>
  /** Whether it was mounted just now, by this process. */
  readonly isFirst: boolean
  /** Whether the next process can go on when this one ends. */
  readonly isReplaceable: boolean
}

const FIRST_ANSWER_MS = 15_000
const READAHEAD_BYTES = 4 * 2 ** 20

/** Throws as `Volume.ready` when the server does not let us in: then nothing is mounted. */
export async function mountGrid(options: GridMountOptions): Promise<GridMount> {
  const { fds, onNote } = options
  const state = new MountState(fds.state)
  const records = new SlotRecords(fds.slots)
  const resent =
    state.agreed === undefined
      ? { requests: [], uniques: new Set<bigint>() }
      : takeResent(fds.device)
  let session: FuseSession | undefined
  const fileSystem = createGridFileSystem({
    ...{ ...options, state },
    session: { records, used: records.read(), resent: resent.uniques },
    openVolume: (volume) => openVolume(options.source, volume),
    notify: (notification) => void session?.notify(notification).catch(() => {}),
  })
  const begin = () =>
    startFuseSession({
      ...{ fd: fds.device, fileSystem, requests: resent.requests },
      onFault: (error, operation) => onNote(`fault in ${operation}: ${String(error)}`),
      ...(state.agreed === undefined ? {} : { agreed: state.agreed }),
    })
  const isFirst = state.agreed === undefined
  try {
    if (isFirst) {
      const { isReadOnly } = await atFirst(fileSystem.ready, options)
      const kernelOptions = isReadOnly ? [...options.options, 'ro'] : options.options
      session = await mountFirst({ ...options, options: kernelOptions }, begin)
      state.agree(await session.ready)
    } else {
      fileSystem.ready.catch(() => {}) // a note tells; it is tried again
      session = begin()
    }
  } catch (error) {
    fileSystem.close()
    throw error
  }
  leaveWhenAsked(options, fileSystem)
  const status = await answerForStatus(options, fileSystem)
  return {
    ended: session.ended.finally(() => {
      status.close()
      fileSystem.close()
    }),
    isFirst,
    isReplaceable: state.agreed?.capabilities.has('resend') ?? false,
  }
}

/** Figures begin with this process. */
function answerForStatus(
  { source, directory, onNote }: GridMountOptions,
  fileSystem: GridFileSystem,
): ReturnType<typeof serveMountStatus> {
  const self = { directory, source: formatVolumeSource(source), pid: process.pid }
  const startedMs = Date.now()
  const status = () => ({ ...self, startedMs, ...fileSystem.status() })
  return serveMountStatus(directory, status, onNote)
}

/** Takes the mount away again when something fails. */
async function mountFirst(
  { source, directory, options, fds }: GridMountOptions,
  begin: () => FuseSession,
): Promise<FuseSession> {
  await mountFuseDevice(fds.device, {
    source: formatVolumeSource(source),
    ...{ directory, subtype: 'gridfs', options, maximumReadBytes: MAXIMUM_WRITE_BYTES },
  })
  armMountGuard(fds.guard)
  try {
    const session = begin()
    await session.ready
    await setReadahead(directory, READAHEAD_BYTES)
    return session
  } catch (error) {
    await detachMount(directory)
    throw error
  }
}

function leaveWhenAsked(
  { directory, signal, onNote }: GridMountOptions,
  fileSystem: GridFileSystem,
): void {
  // umount looks at the folder first: that must not wait for a server that is away.
  const leave = () => {
    fileSystem.setPatience(false)
    unmount(directory).catch((error: unknown) => {
      fileSystem.setPatience(true)
      onNote(`still mounted: ${messageOf(error)}; try again, or umount -l`)
    })
  }
  signal.addEventListener('abort', leave, { once: true })
  if (signal.aborted) leave()
}

/** Nothing is mounted until a server has answered: a wrong name must not become a hanging folder. */
async function atFirst<T>(ready: Promise<T>, options: GridMountOptions): Promise<T> {
  const late = AbortSignal.timeout(FIRST_ANSWER_MS)
  const end = AbortSignal.any([late, options.signal])
  const ended = new Promise<never>((_, reject) => {
    end.addEventListener('abort', () => {
      reject(late.aborted ? noAnswer(options) : abortedError(options.signal))
    })
  })
  return Promise.race([ready, ended])
}

function noAnswer({ source }: GridMountOptions): SiError {
  const members = source.kind === 'mirror' ? source.members : [source]
  const names = members.map(memberName).join(', ')
  return new SiError('ERR_SI_SYSTEM_CALL', `No answer of ${names}`, {
    hint: 'Look whether si-gridfs serve runs there, and whether the port is open',
  })
}
