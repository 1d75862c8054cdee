// Which devices a limit on I/O is set on. A file system on a partition is limited at its disk; RAID, LVM, LUKS and loop devices
// have queues of their own and are limited there. Spec: Documentation/ABI/stable/sysfs-block.
import { readdir, readFile, realpath, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { messageOf, SiError } from '../core/core.ts'
import { formatDeviceNumber } from './block-device.ts'
import { readMounts } from './mounts.ts'

export interface IoDevice {
  /** Such as `sda`, `md0`. */
  readonly name: string
  /** `major:minor` */
  readonly number: string
}

/** Memory, not disks. */
const NO_DISK = /^(?:ram|zram)\d/

/** All that have a medium. */
export async function listIoDevices(): Promise<readonly IoDevice[]> {
  const names = (await readdir('/sys/block')).filter((name) => !NO_DISK.test(name))
  const devices = await Promise.all(names.map(readDevice))
  return devices
    .filter(({ sizeSectors }) => sizeSectors > 0)
    .map(({ name, number }) => ({ name, number }))
}

async function readDevice(name: string): Promise<IoDevice & { readonly sizeSectors: number }> {
  const read = (file: string) => readFile(join('/sys/block', name, file), 'utf8').catch(() => '')
  const [number, size] = await Promise.all([read('dev'), read('size')])
  return { name, number: number.trim(), sizeSectors: Number(size) }
}

/**
 * The device of a path: a block device itself, or what the file system of a file or folder lies on. Throws
 * ERR_SI_THROTTLE when there is none, as on tmpfs and network file systems.
 */
export async function findIoDevice(path: string): Promise<IoDevice> {
  const info = await stat(path).catch((error: unknown) => {
    throw refusal(path, messageOf(error))
  })
  const own = formatDeviceNumber(info.isBlockDevice() ? info.rdev : info.dev)
  const directory =
    (await sysfsOf(own)) ?? (await sysfsOf(await mountedDevice(path, own))) ?? undefined
  if (directory === undefined) throw refusal(path, 'no block device is behind it')
  const isPartition = (await readFile(join(directory, 'partition')).catch(() => null)) !== null
  const whole = isPartition ? dirname(directory) : directory
  const number = (await readFile(join(whole, 'dev'), 'utf8')).trim()
  return { name: basename(whole).replaceAll('!', '/'), number }
}

async function sysfsOf(number: string | undefined): Promise<string | undefined> {
  if (number === undefined) return undefined
  return await realpath(`/sys/dev/block/${number}`).catch(() => undefined)
}

/** btrfs and the like have numbers of their own: the mount names the device. */
async function mountedDevice(path: string, number: string): Promise<string | undefined> {
  const real = await realpath(path)
  const around = (await readMounts()).filter(
    ({ mountPoint }) => real === mountPoint || real.startsWith(join(mountPoint, '/')),
  )
  const mount =
    around.find(({ deviceNumber }) => deviceNumber === number) ??
    around.sort((a, b) => b.mountPoint.length - a.mountPoint.length)[0]
  if (mount === undefined || !mount.source.startsWith('/')) return undefined
  const info = await stat(mount.source).catch(() => undefined)
  return info?.isBlockDevice() === true ? formatDeviceNumber(info.rdev) : undefined
}

function refusal(path: string, why: string): SiError {
  return new SiError('ERR_SI_THROTTLE', `Cannot limit I/O of ${path}: ${why}`, {
    hint: 'Name a disk, or a path on a file system of a disk; network file systems have limits of their own',
  })
}
