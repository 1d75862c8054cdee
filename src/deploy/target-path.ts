// Paths below the target's root as bytes the kernel takes. Names keep every byte they have; a path longer
// than the kernel accepts in one call is reached through an open directory.
// Invariant: no symlink is ever followed, because a manifest's parents are directories that we made.
import { closeSync, constants, openSync } from 'node:fs'

/** PATH_MAX counts the final NUL (limits.h). */
const MAX_PATH_BYTES = 4095

const SLASH = 0x2f
const { O_DIRECTORY, O_NOFOLLOW, O_RDONLY } = constants

/** `root/path`, or `root` itself for the empty path. */
export function joinPath(root: Buffer, path: Uint8Array): Buffer {
  if (path.length === 0) return root
  const joined = Buffer.allocUnsafe(root.length + 1 + path.length)
  joined.set(root)
  joined[root.length] = SLASH
  joined.set(path, root.length + 1)
  return joined
}

/** Calls `use` with a path that names the same object and that one system call can take. */
export function withUsablePath<T>(path: Buffer, use: (path: Buffer) => T): T {
  if (path.length <= MAX_PATH_BYTES) return use(path)
  const cut = path.lastIndexOf(SLASH, MAX_PATH_BYTES)
  const fd = openSync(path.subarray(0, cut), O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
  try {
    const reached = Buffer.from(`/proc/self/fd/${fd}`)
    return withUsablePath(joinPath(reached, path.subarray(cut + 1)), use)
  } finally {
    closeSync(fd)
  }
}
