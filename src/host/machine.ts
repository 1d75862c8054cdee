// What the kernel and the firmware tell of this machine as a whole.
import { createWriteStream } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'

/** What the boot loader passed to the kernel. */
export async function readKernelCommandLine(): Promise<string> {
  return (await readFile('/proc/cmdline', 'utf8')).trim()
}

/** Of the mainboard, lower case; undefined where the firmware tells none. */
export async function readMachineUuid(): Promise<string | undefined> {
  const text = await readFile('/sys/class/dmi/id/product_uuid', 'latin1').catch(() => '')
  const uuid = text.trim().toLowerCase()
  return /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(uuid) ? uuid : undefined
}

/** Seconds since the kernel started; setting the clock does not change it. */
export async function readUptimeSeconds(): Promise<number> {
  return Number((await readFile('/proc/uptime', 'latin1')).split(' ')[0])
}

export interface InstallableDisk {
  /** Such as /dev/nvme0n1. */
  readonly path: string
  readonly sizeBytes: number
  /** As the disk names itself; may be empty. */
  readonly model: string
}

const BLOCK = '/sys/block'
/** Not of a disk but of memory, files, other disks, or media that are changed. */
const NO_DISK = /^(?:loop|ram|zram|sr|fd|dm-|md|nbd|mtdblock)/

/** Fixed, writable disks with a medium, by name. */
export async function readInstallableDisks(): Promise<readonly InstallableDisk[]> {
  const disks: InstallableDisk[] = []
  for (const name of (await readdir(BLOCK)).sort()) {
    if (NO_DISK.test(name) || /^mmcblk\d+boot\d$/.test(name)) continue
    const value = async (file: string) =>
      (await readFile(join(BLOCK, name, file), 'latin1').catch(() => '')).trim()
    const sizeBytes = 512 * Number(await value('size'))
    if (sizeBytes === 0 || (await value('ro')) === '1' || (await value('removable')) === '1')
      continue
    disks.push({ path: `/dev/${name}`, sizeBytes, model: await value('device/model') })
  }
  return disks
}

export interface Consoles {
  write(text: string): void
}

/**
 * The active consoles besides /dev/console, which is the last of them: serial and screen show the same then. What a
 * console does not take is lost, it must not hold up anything.
 */
export async function openOtherConsoles(): Promise<Consoles> {
  const active = await readFile('/sys/class/tty/console/active', 'latin1').catch(() => '')
  const others = active.trim().split(' ').slice(0, -1)
  const streams = others.map((name) => createWriteStream(`/dev/${name}`, { flags: 'a' }))
  for (const stream of streams) stream.on('error', () => {})
  return {
    write(text) {
      for (const stream of streams) {
        if (!stream.writableNeedDrain) stream.write(text.replaceAll(/\r?\n/g, '\r\n'))
      }
    },
  }
}
