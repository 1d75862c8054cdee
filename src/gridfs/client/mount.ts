// Mounts a grid file system: the kernel on one side, the server on the other.
import { abortedError, messageOf, SiError } from '../../core/core.ts'
import { mountFuse, setReadahead, unmount } from '../../host/host.ts'
import { MAXIMUM_WRITE_BYTES, startFuseSession, type FuseSession } from '../fuse/session.ts'
import { openVolume } from '../volumes/open-volume.ts'
import { formatVolumeSource, type VolumeSource } from '../volumes/volume-source.ts'
import { createGridFileSystem, type GridFileSystemOptions } from './grid-file-system.ts'

export interface GridMountOptions extends Omit<GridFileSystemOptions, 'notify' | 'openVolume'> {
  readonly source: VolumeSource
  readonly directory: string
  /** Unmounts. */
  readonly signal: AbortSignal
}

export interface GridMount {
  /** Settles when it is unmounted. */
  readonly ended: Promise<void>
}

const FIRST_ANSWER_MS = 15_000
const READAHEAD_BYTES = 4 * 2 ** 20

/** Throws as `Volume.ready` when the server does not let us in. */
export async function mountGrid(options: GridMountOptions): Promise<GridMount> {
  let session: FuseSession | undefined
  const fileSystem = createGridFileSystem({
    ...options,
    openVolume: (volume) => openVolume(options.source, volume),
    notify: (notification) => void session?.notify(notification).catch(() => {}),
  })
  try {
    await atFirst(fileSystem.ready, options)
    const device = await mountFuse({
      source: formatVolumeSource(options.source),
      ...{ directory: options.directory, subtype: 'gridfs', maximumReadBytes: MAXIMUM_WRITE_BYTES },
    })
    session = startFuseSession({
      ...{ fd: device.fd, fileSystem },
      onFault: (error, operation) => options.onNote(`fault in ${operation}: ${String(error)}`),
    })
    const ended = session.ended.finally(async () => {
      fileSystem.close()
      await device.close()
    })
    await session.ready
    await setReadahead(options.directory, READAHEAD_BYTES)
    // umount looks at the folder first: that must not wait for a server that is away.
    const leave = () => {
      fileSystem.setPatience(false)
      unmount(options.directory).catch((error: unknown) => {
        fileSystem.setPatience(true)
        options.onNote(`still mounted: ${messageOf(error)}; try again, or umount -l`)
      })
    }
    options.signal.addEventListener('abort', leave, { once: true })
    if (options.signal.aborted) leave()
    return { ended }
  } catch (error) {
    fileSystem.close()
    throw error
  }
}

/** Nothing is mounted until a server has answered: a wrong name must not become a hanging folder. */
async function atFirst(ready: Promise<unknown>, options: GridMountOptions): Promise<void> {
  const late = AbortSignal.timeout(FIRST_ANSWER_MS)
  const end = AbortSignal.any([late, options.signal])
  const ended = new Promise<never>((_, reject) => {
    end.addEventListener('abort', () => {
      reject(late.aborted ? noAnswer(options) : abortedError(options.signal))
    })
  })
  await Promise.race([ready, ended])
}

function noAnswer({ source }: GridMountOptions): SiError {
  return new SiError('ERR_SI_SYSTEM_CALL', `${formatVolumeSource(source)} has not answered`, {
    hint: 'Look whether si-gridfs serve runs there, and whether the port is open',
  })
}
