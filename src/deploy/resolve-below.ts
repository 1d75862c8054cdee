// What a path means to a process whose root is the target: symbolic links are followed as in a chroot, so that
// none leads out of it, whatever an image holds. Paths are bytes, kept as latin1 text. Spec: path_resolution(7).
import { lstatSync, readlinkSync, type Stats } from 'node:fs'
import { errnoOf } from '../core/core.ts'
import { joinPath, withUsablePath } from './target-path.ts'

/** As many as Linux follows. */
const MOST_SYMLINKS = 40

/** The path below `root` that `path` leads to; it need not exist. undefined: links go round. */
export function resolveBelow(root: Buffer, path: string): string | undefined {
  const todo = split(path)
  const done: string[] = []
  for (let links = 0, part = todo.shift(); part !== undefined; part = todo.shift()) {
    if (part === '..') {
      done.pop()
      continue
    }
    done.push(part)
    const here = joinPath(root, Buffer.from(done.join('/'), 'latin1'))
    if (withUsablePath(here, statusOf)?.isSymbolicLink() !== true) continue
    if (++links > MOST_SYMLINKS) return undefined
    const target = withUsablePath(here, (usable) => readlinkSync(usable, 'buffer'))
    const text = target.toString('latin1')
    done.pop()
    if (text.startsWith('/')) done.length = 0
    todo.unshift(...split(text))
  }
  return done.join('/')
}

/** Of the object itself, be it a link; undefined: there is none. */
export function statusOf(path: Buffer | string): Stats | undefined {
  try {
    return lstatSync(path)
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(errnoOf(error) ?? '')) return undefined
    throw error
  }
}

function split(path: string): string[] {
  return path.split('/').filter((part) => part !== '' && part !== '.')
}
