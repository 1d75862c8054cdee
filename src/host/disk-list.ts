// The disks of this machine that could be filled, as /sys/block (sysfs-block ABI) and udev's links tell them. No
// device is opened.
import { readdir, readFile, realpath } from 'node:fs/promises'
import { basename, join } from 'node:path'

export interface DiskFacts {
  /** Such as /dev/nvme0n1. */
  readonly path: string
  readonly sizeBytes: number
  readonly model: string
  readonly serial: string
  /** `nvme`, `sata`, `scsi`, `virtio`, `mmc`, `usb`. */
  readonly transport: string
  readonly isRemovable: boolean
  readonly isReadOnly: boolean
  /** Names in /dev/disk/by-id. */
  readonly ids: readonly string[]
}

/** What has no medium of its own, and the small hardware partitions of eMMC. */
const NO_DISK = /^(loop|ram|zram|dm-|md|sr|fd|nbd|mtdblock)|^mmcblk\d+(boot|rpmb)/

const SYSFS_SECTOR_BYTES = 512

/** In the order nvme, sd, vd and so on, each by number; mmc last, where card readers are. */
export async function listDisks(): Promise<readonly DiskFacts[]> {
  const names = (await readdir('/sys/block')).filter((name) => !NO_DISK.test(name))
  const ids = await readLinks('/dev/disk/by-id')
  const disks = await Promise.all(names.map((name) => readDisk(name, ids.get(name) ?? [])))
  return disks.filter(({ sizeBytes }) => sizeBytes > 0).sort(inOrder)
}

async function readDisk(name: string, ids: readonly string[]): Promise<DiskFacts> {
  const directory = await realpath(join('/sys/block', name))
  const read = async (...files: readonly string[]) => {
    for (const file of files) {
      const text = await readFile(join(directory, file), 'utf8').catch(() => '')
      if (text.trim() !== '') return text.trim()
    }
    return ''
  }
  return {
    path: `/dev/${name}`,
    sizeBytes: Number(await read('size')) * SYSFS_SECTOR_BYTES,
    model: await read('device/model', 'device/name'),
    serial: await read('device/serial', 'serial'),
    transport: transportOf(name, directory),
    isRemovable: (await read('removable')) === '1',
    isReadOnly: (await read('ro')) === '1',
    ids,
  }
}

/** By the name of the driver, and for SCSI by what the path in /sys leads through. */
export function transportOf(name: string, sysfsPath: string): string {
  if (name.startsWith('nvme')) return 'nvme'
  if (name.startsWith('vd')) return 'virtio'
  if (name.startsWith('mmcblk')) return 'mmc'
  if (sysfsPath.includes('/usb')) return 'usb'
  if (/\/ata\d+\//.test(sysfsPath)) return 'sata'
  return /\/virtio\d+\//.test(sysfsPath) ? 'virtio' : 'scsi'
}

async function readLinks(directory: string): Promise<ReadonlyMap<string, readonly string[]>> {
  const links = new Map<string, string[]>()
  for (const name of await readdir(directory).catch(() => [])) {
    const target = basename(await realpath(join(directory, name)).catch(() => ''))
    links.set(target, [...(links.get(target) ?? []), name])
  }
  return links
}

const names = new Intl.Collator('en', { numeric: true })

function inOrder(a: DiskFacts, b: DiskFacts): number {
  return (
    Number(a.transport === 'mmc') - Number(b.transport === 'mmc') || names.compare(a.path, b.path)
  )
}
