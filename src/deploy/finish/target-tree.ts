// Files of the target by the names that they have there. Invariant: symlinks are followed as in a chroot, so
// nothing outside of the target is read or written, whatever an image holds.
import { constants } from 'node:fs'
import { chmod, mkdir, open, readdir, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { errnoOf, SiError } from '../../core/core.ts'
import { resolveBelow, statusOf } from '../resolve-below.ts'

export interface TargetTree {
  readonly root: string
  /** Where a path (`etc/fstab`) really lies, for programs of this machine. */
  locate(path: string): string
  exists(path: string): boolean
  isDirectory(path: string): boolean
  /** Undefined when there is no such file. */
  read(path: string): Promise<string | undefined>
  /**
   * Writes a file, and folders that are missing above it. One that is there keeps owner, mode and
   * attributes unless `mode` is given, and is left alone when it holds that text already.
   */
  write(path: string, text: string, options?: { readonly mode?: number }): Promise<void>
  /** Makes a folder, and those that are missing above it, where nothing is. */
  makeDirectory(path: string): Promise<void>
  /** A file, or the symlink itself; nothing when there is none. */
  remove(path: string): Promise<void>
  /** Names in a folder, sorted; none when there is no such folder. */
  list(path: string): Promise<readonly string[]>
}

export function openTargetTree(root: string): TargetTree {
  const locate = (path: string) => locateBelow(root, path)
  return {
    root,
    locate,
    exists: (path) => statusOf(locate(path)) !== undefined,
    isDirectory: (path) => statusOf(locate(path))?.isDirectory() === true,
    async read(path) {
      const where = locate(path)
      if (statusOf(where)?.isFile() !== true) return undefined
      await using file = await open(where, constants.O_RDONLY | constants.O_NOFOLLOW)
      return await file.readFile('utf8')
    },
    async write(path, text, { mode } = {}) {
      const where = locate(path)
      if ((await this.read(path)) !== text) {
        await mkdir(dirname(where), { recursive: true })
        const { O_CREAT, O_NOFOLLOW, O_NONBLOCK, O_TRUNC, O_WRONLY } = constants
        const flags = O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_TRUNC | O_WRONLY
        await using file = await open(where, flags, mode ?? 0o644)
        await file.writeFile(text)
      }
      if (mode !== undefined) await chmod(where, mode)
    },
    async makeDirectory(path) {
      const where = locate(path)
      if (statusOf(where) === undefined) await mkdir(where, { recursive: true })
    },
    async remove(path) {
      const name = path.split('/').at(-1) ?? ''
      await rm(join(locate(dirname(path)), name), { force: true })
    },
    async list(path) {
      try {
        return (await readdir(locate(path))).sort()
      } catch (error) {
        if (['ENOENT', 'ENOTDIR'].includes(errnoOf(error) ?? '')) return []
        throw error
      }
    },
  }
}

/** The path that `path` means to a process whose root is `root`; it need not exist. */
function locateBelow(root: string, path: string): string {
  const place = resolveBelow(Buffer.from(root), Buffer.from(path).toString('latin1'))
  if (place !== undefined) return join(root, Buffer.from(place, 'latin1').toString())
  throw new SiError('ERR_SI_DEPLOY', `Cannot finish ${root}: symlinks of "${path}" go round`)
}
