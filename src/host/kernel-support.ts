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
  await loadModules([type])
  return await isRegistered(type)
}

/** Whether the kernel can run arrays of this level (`1`, `10`), after loading the module where that is possible. */
export async function canRunArrays(level: string): Promise<boolean> {
  const personality = { '5': 'raid456', '6': 'raid456' }[level] ?? `raid${level}`
  await loadModules(['md_mod', personality])
  const text = await readFile('/proc/mdstat', 'utf8').catch(() => '')
  return text.includes(`[raid${level}]`)
}

/** Whether the kernel has device mapper (LVM), and dm-crypt (LUKS) where that is asked for. */
export async function canMapDevices(encrypted: boolean): Promise<boolean> {
  await loadModules(['dm_mod', ...(encrypted ? ['dm_crypt'] : [])])
  const misc = await readFile('/proc/misc', 'utf8').catch(() => '')
  if (!/ device-mapper$/m.test(misc)) return false
  if (!encrypted) return true
  const { stdout } = await run('dmsetup', ['targets'])
  return /^crypt\s/m.test(stdout)
}

async function loadModules(names: readonly string[]): Promise<void> {
  if (!(await hasProgram('modprobe'))) return
  await run('modprobe', ['--quiet', '--all', ...names], { okExitCodes: [0, 1] })
}

async function isRegistered(type: string): Promise<boolean> {
  const text = await readFile('/proc/filesystems', 'utf8')
  return text.split('\n').some((line) => line.split('\t')[1] === type)
}
