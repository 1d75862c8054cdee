// Takes a mount away when all processes that serve it are gone, however they ended: a shell in a session of
// its own waits for the end of a pipe that only they hold. Until it is told that the folder is mounted it
// touches nothing.
import { closeSync, writeSync } from 'node:fs'
import { errnoOf } from '../core/core.ts'
import { start } from './program.ts'
import { pipe } from './syscalls.ts'

export interface MountGuard {
  /** The pipe: to be inherited by each process that serves the mount; `armMountGuard` writes to it. */
  readonly fd: number
  /** It is unmounted in order: the guard ends. */
  release(): void
}

const SCRIPT = 'read -r _ && { read -r _ || exec umount -l -- "$1"; }'
const LINE = '\n'
const PIPE_BYTES = 4096

export function startMountGuard(directory: string): MountGuard {
  const { readFd, writeFd } = pipe(PIPE_BYTES)
  const guard = start('sh', ['-c', SCRIPT, 'sh', directory], {
    stdio: [readFd, 'ignore', 'ignore'],
    ...{ isDetached: true, cwd: '/' },
  })
  guard.process.unref()
  closeSync(readFd)
  let isHeld = true
  return {
    fd: writeFd,
    release() {
      if (!isHeld) return
      isHeld = false
      try {
        writeSync(writeFd, LINE + LINE)
      } catch (error) {
        if (errnoOf(error) !== 'EPIPE') throw error // somebody has ended the guard
      } finally {
        closeSync(writeFd)
      }
    },
  }
}

/** From now on the mount goes when nobody holds the pipe any more. */
export function armMountGuard(fd: number): void {
  writeSync(fd, LINE)
}
