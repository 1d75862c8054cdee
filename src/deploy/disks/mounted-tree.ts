// The planned file systems mounted below a private directory as they will be on the target: parents
// before children, and unmounted the other way round whatever happened in between.
import { mkdirSync, rmdirSync } from 'node:fs'
import { mkdtemp, readdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { SiError } from '../../core/core.ts'
import { mount, readMounts, unmount } from '../../host/host.ts'
import type { PlannedFileSystem } from './disk-plan.ts'

export interface MountedTree {
  readonly directory: string
  /** Mount points below `directory`, the root's first. */
  readonly mountPoints: readonly string[]
  /** Unmounts all; what was written is on the disk afterwards. Idempotent. */
  close(): Promise<void>
}

export interface MountTreeOptions {
  readonly fileSystems: readonly PlannedFileSystem[]
  /** The private directory is this and a random suffix. */
  readonly prefix: string
  readonly signal: AbortSignal
}

/** Mounts every file system that has a mount point, but for those that are kept. */
export async function mountTree(options: MountTreeOptions): Promise<MountedTree> {
  const { signal } = options
  const directory = await mkdtemp(options.prefix)
  const mountPoints: string[] = []
  let isClosed = false
  const close = async () => {
    if (isClosed) return
    isClosed = true
    for (const mountPoint of mountPoints.toReversed()) await unmountPatiently(mountPoint)
    rmdirSync(directory)
  }
  try {
    for (const { device, mountPoint, type, subvolume } of mountOrder(options.fileSystems)) {
      const where = join(directory, mountPoint)
      mkdirSync(where, { recursive: true })
      const part = subvolume === null ? [] : [`subvol=${subvolume}`]
      await mount(device, where, { type, options: [...mountOptions(type), ...part], signal })
      mountPoints.push(where)
    }
  } catch (error) {
    await close()
    throw error
  }
  return { directory, mountPoints, close }
}

/** Unmounts and removes the private directories of this prefix that a killed process left. */
export async function unmountLeftovers(prefix: string): Promise<void> {
  const mounts = await readMounts()
  const ours = mounts.filter(({ mountPoint }) => mountPoint.startsWith(prefix))
  for (const { mountPoint } of ours.toReversed()) await unmountPatiently(mountPoint)
  for (const entry of await readdir(dirname(prefix), { withFileTypes: true })) {
    const path = join(dirname(prefix), entry.name)
    if (entry.isDirectory() && path.startsWith(prefix)) rmdirSync(path)
  }
}

interface PlannedMount {
  readonly device: string
  readonly mountPoint: string
  readonly type: string
  readonly subvolume: string | null
}

function mountOrder(fileSystems: readonly PlannedFileSystem[]): readonly PlannedMount[] {
  const depth = (path: string) => path.split('/').filter((part) => part !== '').length
  const mounts = fileSystems.flatMap(({ device, type, mountPoint, subvolumes, isKept }) => {
    const places = [
      { mountPoint, subvolume: null },
      ...subvolumes.map((one) => ({ mountPoint: one.mountPoint, subvolume: one.path })),
    ]
    return places.flatMap(({ mountPoint: at, subvolume }) =>
      isKept || at === null ? [] : [{ device, type, mountPoint: at, subvolume }],
    )
  })
  return mounts.sort((a, b) => depth(a.mountPoint) - depth(b.mountPoint))
}

/**
 * Nothing but the image is written: no access times, no inode tables in the background, metadata not
 * again and again; what must be on the disk is synced explicitly.
 */
function mountOptions(type: string): readonly string[] {
  if (type === 'ext4') return ['noatime', 'noinit_itable', 'commit=60']
  // The golden client's own disk may be in this machine too; xfs refuses a second one of its UUID.
  if (type === 'xfs') return ['noatime', 'nouuid']
  return ['noatime']
}

const UNMOUNT_ATTEMPTS = 50
const UNMOUNT_PAUSE_MS = 200

/** Others, such as udev, may look at a new file system for a moment. */
async function unmountPatiently(mountPoint: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await unmount(mountPoint)
    } catch (error) {
      if (attempt === UNMOUNT_ATTEMPTS) {
        throw new SiError('ERR_SI_TARGET_BUSY', `Cannot unmount ${mountPoint}`, {
          hint: `Run umount ${mountPoint} when nothing uses it any more`,
          cause: error,
        })
      }
      await new Promise((resolve) => setTimeout(resolve, UNMOUNT_PAUSE_MS))
    }
  }
}
