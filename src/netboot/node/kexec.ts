// Starting the installed kernel without the firmware (kexec(8)): what the boot loader of the new disk would start is read
// from its grub.cfg and loaded into memory while the disk is still mounted. Invariant: a kernel is loaded only with
// the very command line that GRUB would give it; where that cannot be told, nothing is, and the reason is.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { exists, messageOf } from '../../core/core.ts'
import { run } from '../../host/host.ts'

export interface BootEntry {
  /** As GRUB reads it: from the root of the file system that holds /boot. */
  readonly kernel: string
  readonly initramfs: readonly string[]
  readonly parameters: string
}

const CONFIGURATIONS = ['boot/grub/grub.cfg', 'boot/grub2/grub.cfg']

/** The first entry of a grub.cfg, which is what starts; undefined where only GRUB itself could tell. */
export function parseBootEntry(text: string): BootEntry | undefined {
  const entry = /^\s*menuentry\s[^]*?^\s*linux(?:efi)?\s+(\S+)[ \t]*(.*)$([^]*?)^\s*\}/m.exec(text)
  const [, kernel = '', parameters = '', rest = ''] = entry ?? []
  const initramfs = /^\s*initrd(?:efi)?\s+(.+)$/m.exec(rest)?.[1]?.trim().split(/\s+/) ?? []
  const words = [kernel, parameters, ...initramfs]
  if (kernel === '' || words.some((word) => /[$'"\\]/.test(word))) return undefined
  return { kernel, initramfs, parameters: parameters.trim() }
}

/** Loads the kernel of the system in `directory`; whether it is there to be started. */
export async function loadInstalledKernel(
  directory: string,
  say: (text: string) => void,
): Promise<boolean> {
  try {
    const entry = await readBootEntry(directory)
    const [kernel = '', ...initramfs] = await Promise.all(
      [entry.kernel, ...entry.initramfs].map((path) => findFile(directory, path)),
    )
    const images = initramfs.map((path) => `--initrd=${path}`)
    const line = `--command-line=${entry.parameters}`
    await run('kexec', ['--load', '--kexec-syscall-auto', ...images, line, kernel])
    say(`kexec: ${entry.kernel} is loaded`)
    return true
  } catch (error) {
    say(`kexec is not possible, the machine will reboot: ${messageOf(error)}`)
    return false
  }
}

async function readBootEntry(directory: string): Promise<BootEntry> {
  for (const name of CONFIGURATIONS) {
    const text = await readFile(join(directory, name), 'utf8').catch(() => undefined)
    if (text === undefined) continue
    const entry = parseBootEntry(text)
    if (entry !== undefined) return entry
    throw new Error(
      `the first entry of /${name} names no kernel that could be started without GRUB`,
    )
  }
  throw new Error(
    `the installed system has no ${CONFIGURATIONS.map((name) => `/${name}`).join(' or ')}`,
  )
}

/** GRUB leaves out /boot where that is a file system of its own. */
async function findFile(directory: string, path: string): Promise<string> {
  for (const place of [join(directory, path), join(directory, 'boot', path)]) {
    if (await exists(place)) return place
  }
  throw new Error(`${path} of its boot loader is not there`)
}
