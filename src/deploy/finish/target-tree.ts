// Files of the target by the names that they have there. Invariant: symlinks are followed as in a chroot, so
// nothing outside of the target is read or written, whatever an image holds.
import { constants, lstatSync, readlinkSync, type Stats } from 'node:fs'
import { chmod, mkdir, open, readdir, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { errnoOf, SiError } from '../../core/core.ts'

/** As many as Linux follows (path_resolution(7)). */
const MOST_SYMLINKS = 40

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
  /** A file, or the symlink itself; nothing when there is none. */
  remove(path: string): Promise<void>
  /** Names in a folder, sorted; none when there is no such folder. */
  list(path: string): Promise<readonly string[]>
}

export function openTargetTree(root: string): TargetTree {
  const locate = (path: string) => resolveBelow(root, path)
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

/** The path below `root` that `path` means to a process whose root is there; it need not exist. */
function resolveBelow(root: string, path: string): string {
  const todo = splitPath(path)
  const done: string[] = []
  for (let links = 0, part = todo.shift(); part !== undefined; part = todo.shift()) {
    if (part === '..') {
      done.pop()
      continue
    }
    const here = join(root, ...done, part)
    if (statusOf(here)?.isSymbolicLink() !== true) {
      done.push(part)
      continue
    }
    if (++links > MOST_SYMLINKS) {
      throw new SiError('ERR_SI_DEPLOY', `Cannot finish ${root}: symlinks of "${path}" go round`)
    }
    const target = readlinkSync(here)
    if (target.startsWith('/')) done.length = 0
    todo.unshift(...splitPath(target))
  }
  return join(root, ...done)
}

function splitPath(path: string): string[] {
  return path.split('/').filter((part) => part !== '' && part !== '.')
}

function statusOf(path: string): Stats | undefined {
  try {
    return lstatSync(path)
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(errnoOf(error) ?? '')) return undefined
    throw error
  }
}
