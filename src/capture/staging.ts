// A place on the repository's file system where a foreign image is unpacked. Invariant: it is gone when its
// user is: at once, or, if that died, when the next one comes (flock(2)).
import { randomBytes } from 'node:crypto'
import { mkdir, open, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { SiError } from '../core/core.ts'
import { flock } from '../host/host.ts'

const PREFIX = '.import-'
const LOCK = 'lock'

export interface Staging extends AsyncDisposable {
  readonly directory: string
}

/** A fresh directory in `parent`, which is made when it is missing. */
export async function openStaging(parent: string): Promise<Staging> {
  await mkdir(parent, { recursive: true })
  await removeDead(parent)
  const directory = join(parent, `${PREFIX}${randomBytes(4).toString('hex')}`)
  await mkdir(directory, { mode: 0o700 }) // what is in it may be for root's eyes only
  const lock = await open(join(directory, LOCK), 'wx')
  if (!flock(lock.fd, 'exclusive')) {
    throw new SiError('ERR_SI_INTERNAL', `Cannot lock ${directory}`)
  }
  return {
    directory,
    async [Symbol.asyncDispose]() {
      await rm(directory, { recursive: true, force: true })
      await lock.close()
    },
  }
}

async function removeDead(parent: string): Promise<void> {
  for (const name of await readdir(parent)) {
    if (!name.startsWith(PREFIX)) continue
    const lock = await open(join(parent, name, LOCK), 'r').catch(() => undefined)
    // Without a lock it was made a moment ago, or is half removed: its own user, or the next, sees to it.
    if (lock === undefined) continue
    const isDead = flock(lock.fd, 'exclusive')
    if (isDead) await rm(join(parent, name), { recursive: true, force: true })
    await lock.close()
  }
}
