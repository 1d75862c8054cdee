// The lock of an image's folder: one writer, or remover, at a time. Invariant: the kernel frees it when its
// holder dies, and whoever holds it holds the file that has the lock's name now (flock(2)).
import { open, stat, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { errnoOf, SiError } from '../core/core.ts'
import { flock, makeFolder } from '../host/host.ts'
import type { ImageName } from './names.ts'

export const LOCK_FILE = '.lock'

/** Makes the folder when it is missing. Throws ERR_SI_IMAGE_LOCKED; close the handle to give it back. */
export async function lockFolder(folder: string, name: ImageName): Promise<FileHandle> {
  for (;;) {
    const lock = await tryLock(folder, name)
    if (lock !== undefined) return lock
  }
}

/** Undefined when the folder was removed meanwhile, by the remover of its last version. */
async function tryLock(folder: string, name: ImageName): Promise<FileHandle | undefined> {
  await makeFolder(folder)
  const path = join(folder, LOCK_FILE)
  let lock: FileHandle
  try {
    lock = await open(path, 'a+', 0o644)
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw error
  }
  try {
    if (!flock(lock.fd, 'exclusive')) throw await lockedError(lock, name)
    if (await isStillThere(lock, path)) {
      await lock.truncate(0)
      await lock.write(`${process.pid}\n`)
      return lock
    }
  } catch (error) {
    await lock.close()
    throw error
  }
  await lock.close()
  return undefined
}

async function isStillThere(lock: FileHandle, path: string): Promise<boolean> {
  const held = await lock.stat()
  const named = await stat(path).catch(() => undefined)
  return named?.ino === held.ino && named.dev === held.dev
}

async function lockedError(lock: FileHandle, name: ImageName): Promise<SiError> {
  const { buffer, bytesRead } = await lock.read(Buffer.alloc(32), 0, 32, 0)
  const pid = /^(\d+)\n/.exec(buffer.toString('latin1', 0, bytesRead))?.[1]
  const holder = pid === undefined ? 'another process' : `process ${pid}`
  return new SiError('ERR_SI_IMAGE_LOCKED', `Cannot write image "${name}": ${holder} writes it`, {
    hint: 'Wait until it has finished, or end it',
  })
}
