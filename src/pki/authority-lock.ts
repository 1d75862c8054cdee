// One writer at a time for the folder of an authority. Invariant: the lock is the kernel's, so it is free when its holder has
// died; what a dead writer left half is removed by the next one.
import { open, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { SiError } from '../core/core.ts'
import { flock } from '../host/host.ts'
import { KEY_MODE } from './private-key.ts'

/** In the authority's folder. */
export const ISSUED_FOLDER = 'issued'
const LOCK_FILE = '.lock'

/** Throws ERR_SI_AUTHORITY_LOCKED while somebody else holds the lock. */
export async function whileLocked<T>(directory: string, act: () => Promise<T>): Promise<T> {
  await using lock = await open(join(directory, LOCK_FILE), 'a+', KEY_MODE)
  if (flock(lock.fd, 'exclusive')) {
    await removeRemains(directory)
    return await act()
  }
  throw new SiError(
    'ERR_SI_AUTHORITY_LOCKED',
    `Cannot change the authority in ${directory}: another process does`,
    { hint: 'Wait until it has finished' },
  )
}

/** Whoever holds the lock knows that a temporary file has lost its writer. */
async function removeRemains(directory: string): Promise<void> {
  for (const folder of [directory, join(directory, ISSUED_FOLDER)]) {
    for (const name of await readdir(folder)) {
      if (/^\..+\.[0-9a-f]{8}$/.test(name)) await rm(join(folder, name))
    }
  }
}
