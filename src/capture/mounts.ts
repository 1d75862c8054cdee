// What is mounted where on the golden client, and which of it belongs into an image. Invariant: each
// byte is captured once: a file system mounted twice, or bound elsewhere, counts where it was first.
// Pure. Specs: proc(5) mountinfo and swaps, POSIX df -P.
import { unescapeOctal } from '../host/host.ts'

export interface Mount {
  /** `8:1`; major 0 for what has no block device. */
  readonly device: string
  /** The folder of the file system that is mounted, `/` for all of it. */
  readonly fsRoot: string
  /** Relative to the captured root: `/`, `/srv`. */
  readonly mountPoint: string
  readonly type: string
  /** Such as `/dev/sda1`, `server:/export`, `tmpfs`. */
  readonly source: string
}

export interface Swap {
  readonly path: string
  readonly isFile: boolean
  readonly sizeBytes: number
}

/** The path as seen from `root`, or undefined when it lies outside. */
export function relativeToRoot(path: string, root: string): string | undefined {
  if (root === '/') return path
  if (path === root) return '/'
  return path.startsWith(`${root}/`) ? path.slice(root.length) : undefined
}

/** Mounts in and below `root`, in mount order. Lines that make no sense are left out. */
export function parseMountInfo(text: string, root: string): Mount[] {
  const mounts: Mount[] = []
  for (const line of text.split('\n')) {
    const [left = '', right = ''] = line.split(' - ')
    const [, , device = '', fsRoot = '', mountPoint = ''] = left.split(' ')
    const [type = '', source = ''] = right.split(' ')
    const relative = relativeToRoot(unescapeOctal(mountPoint), root)
    if (!/^\d+:\d+$/.test(device) || relative === undefined || !relative.startsWith('/')) continue
    mounts.push({
      device,
      fsRoot: unescapeOctal(fsRoot),
      mountPoint: relative,
      type,
      source: unescapeOctal(source),
    })
  }
  return mounts
}

/** The lines of /proc/swaps; swap files outside `root` are left out. */
export function parseSwaps(text: string, root: string): Swap[] {
  return text.split('\n').flatMap((line): Swap[] => {
    const match = /^(\/\S+)\s+(file|partition)\s+(\d+)\s/.exec(line)
    if (match === null) return []
    const path = unescapeOctal(match[1] ?? '')
    const isFile = match[2] === 'file'
    const seen = isFile ? relativeToRoot(path, root) : path
    return seen === undefined ? [] : [{ path: seen, isFile, sizeBytes: Number(match[3]) * 1024 }]
  })
}

/** `df -P -B1` → bytes in use by mount point relative to `root`. */
export function parseDf(text: string, root: string): Map<string, number> {
  const used = new Map<string, number>()
  for (const line of text.split('\n')) {
    const match = /\s\d+\s+(\d+)\s+\d+\s+(?:\d+%|-)\s+(\/.*)$/.exec(line)
    const path = match === null ? undefined : relativeToRoot(match[2] ?? '', root)
    if (path !== undefined) used.set(path, Number(match?.[1]))
  }
  return used
}

export interface CapturedMounts {
  /** Handed to tar, parents first; the root is always the first, mounted or not. */
  readonly mountPoints: readonly string[]
  /** The mounts behind them; the root is missing when it is no mount point. */
  readonly mounts: readonly Mount[]
  /** Second places of captured file systems: tar must not walk into them. */
  readonly duplicates: readonly string[]
  /** Mount points of what is not captured, such as /proc: empty directories in the image. */
  readonly strange: readonly string[]
}

// Several devices, or none, hide behind one file system: no device number tells that it is local.
const LOCAL_WITHOUT_DEVICE = new Set(['btrfs', 'bcachefs', 'zfs'])
const NEVER = /^(?:fuse|fuseblk|squashfs|iso9660|udf|erofs|gfs2|ocfs2)(?:\..*)?$/
// /tmp may be a file system of its own, whose contents are left out anyway; what is below it is not kept.
const VOLATILE = /^\/(?:proc|sys|dev|run)(?:\/|$)|^\/tmp\//

/**
 * Local file systems and the root. Network, pseudo and fuse file systems, read-only media and
 * `removable` devices (`8:16`) are left out, as is all that is mounted below /proc /sys /dev /run,
 * but for the mount points that were asked for.
 */
export function chooseMounts(
  mounts: readonly Mount[],
  removable: ReadonlySet<string> = new Set(),
  asked: ReadonlySet<string> = new Set(),
): CapturedMounts {
  const visible = visibleMounts(mounts)
  const chosen = new Map<string, Mount>()
  const duplicates: string[] = []
  for (const mount of visible) {
    const isRoot = mount.mountPoint === '/'
    if (!isRoot && !asked.has(mount.mountPoint) && !isLocal(mount, removable)) continue
    const isBound = !isRoot && mount.fsRoot !== '/' && !LOCAL_WITHOUT_DEVICE.has(mount.type)
    const identity = `${mount.device} ${LOCAL_WITHOUT_DEVICE.has(mount.type) ? mount.fsRoot : ''}`
    if (isBound || chosen.has(identity)) duplicates.push(mount.mountPoint)
    else chosen.set(identity, mount)
  }
  const captured = [...chosen.values()].sort(byMountPoint)
  const points = captured.map(({ mountPoint }) => mountPoint).filter((point) => point !== '/')
  const known = new Set([...points, ...duplicates, '/'])
  const strange = visible.map(({ mountPoint }) => mountPoint).filter((point) => !known.has(point))
  return { mountPoints: ['/', ...points], mounts: captured, duplicates, strange }
}

/** In mount order; of several mounts on one point only the last, which hides the others. */
function visibleMounts(mounts: readonly Mount[]): Mount[] {
  const last = new Map(mounts.map((mount) => [mount.mountPoint, mount]))
  return mounts.filter((mount) => last.get(mount.mountPoint) === mount)
}

/** Parents before children. */
function byMountPoint(a: Mount, b: Mount): number {
  return a.mountPoint < b.mountPoint ? -1 : 1
}

function isLocal(mount: Mount, removable: ReadonlySet<string>): boolean {
  if (VOLATILE.test(mount.mountPoint) || NEVER.test(mount.type)) return false
  if (removable.has(mount.device)) return false
  return !mount.device.startsWith('0:') || LOCAL_WITHOUT_DEVICE.has(mount.type)
}
