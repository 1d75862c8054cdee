// What this machine can do: programs in PATH, file systems in the kernel. For asking before it is too
// late to refuse.
import { constants } from 'node:fs'
import { access, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { run } from './program.ts'

/** Whether `run` would find this program. */
export async function hasProgram(name: string): Promise<boolean> {
  for (const directory of (process.env['PATH'] ?? '').split(':')) {
    const path = join(directory === '' ? '.' : directory, name)
    const isThere = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    )
    if (isThere) return true
  }
  return false
}

/** Whether the kernel can mount this type, after loading its module where that is possible. */
export async function canMount(type: string): Promise<boolean> {
  if (await isRegistered(type)) return true
  if (await hasProgram('modprobe')) {
    await run('modprobe', ['--quiet', type], { okExitCodes: [0, 1] })
  }
  return await isRegistered(type)
}

async function isRegistered(type: string): Promise<boolean> {
  const text = await readFile('/proc/filesystems', 'utf8')
  return text.split('\n').some((line) => line.split('\t')[1] === type)
}
