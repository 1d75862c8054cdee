// What the kernel and the firmware tell of this machine as a whole.
import { createWriteStream } from 'node:fs'
import { readFile } from 'node:fs/promises'

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
