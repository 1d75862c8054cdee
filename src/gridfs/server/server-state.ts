// What a server must still know after a restart: the key that seals references, and what its sessions have
// written down. In a folder that only root may read.
import { randomBytes } from 'node:crypto'
import { chmod, mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { errnoOf, SiError } from '../../core/core.ts'
import { writeDurably } from '../../pki/pki.ts'

export interface ServerState {
  readonly key: Uint8Array
  readonly stateDirectory: string
}

const KEY_BYTES = 32

/** Makes it when there is none. */
export async function openServerState(directory: string): Promise<ServerState> {
  const stateDirectory = join(directory, 'sessions')
  await mkdir(stateDirectory, { recursive: true, mode: 0o700 })
  await chmod(directory, 0o700)
  const file = join(directory, 'reference.key')
  const key = await readKey(file)
  return { key, stateDirectory }
}

async function readKey(file: string): Promise<Uint8Array> {
  try {
    const key = await readFile(file)
    if (key.length === KEY_BYTES) return key
    throw new SiError('ERR_SI_CONFIGURATION', `Cannot use ${file}: it holds no key`, {
      hint: 'Remove it; mounts will lose what they have open',
    })
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error
    const key = randomBytes(KEY_BYTES)
    await writeDurably(file, key, 0o600)
    return key
  }
}
