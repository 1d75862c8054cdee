// Facts about one disk, as the kernel (/sys/dev/block, sysfs-block ABI) and the disk itself (partition
// table and signatures, read by sfdisk and blkid) tell them. Nothing here writes to a device.
import { closeSync, constants, existsSync, openSync } from 'node:fs'
import { readdir, readFile, realpath, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { errnoOf } from '../core/core.ts'
import type { StackedDevice } from './block-stack.ts'
import { parseSwaps, readMounts } from './mounts.ts'
import { run } from './program.ts'

export interface BlockDevice {
  /** Canonical path, such as /dev/nvme0n1. */
  readonly path: string
  /** `disk`, `partition`, or `other` when the path is no block device. */
  readonly kind: 'disk' | 'partition' | 'other'
  readonly sizeBytes: number
  /** Logical sector: the unit of partition tables. */
  readonly sectorBytes: number
  readonly isReadOnly: boolean
  /** `major:minor` of the device and of its partitions. */
  readonly deviceNumbers: readonly string[]
}

export interface Signature {
  readonly type: string
  readonly label: string
  readonly uuid: string
}

export interface DiskPartition {
  readonly number: number
  readonly startBytes: number
  readonly sizeBytes: number
  readonly uuid: string
  readonly name: string
  /** A GUID on GPT, hexadecimal digits on msdos. */
  readonly typeCode: string
  /** GPT attributes in sfdisk's words. */
  readonly attributes: string
  readonly isBootable: boolean
  readonly signature: Signature | null
}

export interface PartitionTable {
  /** `gpt`, `dos` … */
  readonly label: string
  /** Of the table: a GUID, or `0x` and eight digits. */
  readonly id: string
  readonly partitions: readonly DiskPartition[]
}

const SYSFS_SECTOR_BYTES = 512 // sysfs counts sizes in these whatever the device's own sector is

/** Device of `path` (symlinks followed). Throws Node's ENOENT when there is none. */
export async function readBlockDevice(path: string): Promise<BlockDevice> {
  const canonical = await realpath(path)
  const info = await stat(canonical)
  const none = { sizeBytes: 0, sectorBytes: 512, isReadOnly: false, deviceNumbers: [] }
  if (!info.isBlockDevice()) return { path: canonical, kind: 'other', ...none }
  const own = formatDeviceNumber(info.rdev)
  const directory = await realpath(`/sys/dev/block/${own}`)
  const isPartition = existsSync(join(directory, 'partition'))
  const number = async (name: string) => Number((await read(directory, name)) || '0')
  return {
    path: canonical,
    kind: isPartition ? 'partition' : 'disk',
    sizeBytes: (await number('size')) * SYSFS_SECTOR_BYTES,
    sectorBytes: (await number('queue/logical_block_size')) || 512,
    isReadOnly: (await number('ro')) === 1,
    deviceNumbers: [own, ...(await partitionNumbers(directory))],
  }
}

/**
 * Why the disk must not be written to now, in words for people; empty when it is free. What stands on it
 * (see readStack) does no harm while nobody uses that either.
 */
export async function readDiskUses(
  device: BlockDevice,
  stack: readonly StackedDevice[],
): Promise<readonly string[]> {
  const names = new Map(device.deviceNumbers.map((number) => [number, '']))
  for (const { deviceNumber, name } of stack) names.set(deviceNumber, ` by way of ${name}`)
  const uses: string[] = []
  for (const mount of await readMounts()) {
    const via = names.get(mount.deviceNumber)
    if (via !== undefined) uses.push(`mounted on ${mount.mountPoint}${via}`)
  }
  for (const path of parseSwaps(await readFile('/proc/swaps', 'utf8'))) {
    const info = await stat(path).catch(() => undefined)
    if (!info?.isBlockDevice()) continue
    const via = names.get(formatDeviceNumber(info.rdev))
    if (via !== undefined) uses.push(`used as swap (${path})${via}`)
  }
  const holders = stack.map(({ kernelName }) => kernelName)
  const isTop = async ({ kernelName }: StackedDevice) =>
    !(await entries(`/sys/class/block/${kernelName}/holders`)).some((one) => holders.includes(one))
  for (const one of stack) {
    if ((await isTop(one)) && isClaimed(one.path)) uses.push(`in use by way of ${one.name}`)
  }
  if (uses.length === 0 && stack.length === 0 && isClaimed(device.path)) {
    uses.push('in use by the kernel')
  }
  return uses
}

/** The partition table on the disk itself with what blkid finds inside; null when there is none. */
export async function readPartitionTable(
  device: BlockDevice,
  signal?: AbortSignal,
): Promise<PartitionTable | null> {
  const result = await run('sfdisk', ['--json', device.path], { signal, okExitCodes: [0, 1] })
  const table = result.exitCode === 0 ? parseSfdiskJson(result.stdout) : null
  if (table === null) return null
  const partitions: DiskPartition[] = []
  for (const partition of table.partitions) {
    const signature = await readSignature(device.path, partition, signal)
    partitions.push({ ...partition, signature })
  }
  return { ...table, partitions }
}

/** What blkid finds on the whole device, or in a part of it; null for nothing it knows. */
export async function readSignature(
  path: string,
  range?: { readonly startBytes: number; readonly sizeBytes: number },
  signal?: AbortSignal,
): Promise<Signature | null> {
  const where =
    range === undefined ? [] : ['--offset', `${range.startBytes}`, '--size', `${range.sizeBytes}`]
  const args = ['--probe', '--output', 'export', ...where, path]
  // 2: nothing found; 8: several signatures contradict each other.
  const result = await run('blkid', args, { signal, okExitCodes: [0, 2, 8] })
  if (result.exitCode === 8) return { type: 'several signatures', label: '', uuid: '' }
  return parseBlkidExport(result.stdout)
}

export type BlkidValues = Readonly<Partial<Record<string, string>>>

/** `blkid -o export`: KEY=value lines, values with backslashes before special characters. */
export function parseBlkid(text: string): BlkidValues {
  const values: Record<string, string> = {}
  for (const line of text.split('\n')) {
    const match = /^([A-Z][A-Z0-9_]*)=(.*)$/.exec(line)
    if (match?.[1] !== undefined) values[match[1]] = (match[2] ?? '').replace(/\\(.)/g, '$1')
  }
  return values
}

/** What `blkid -o export` says of a file system; null when it names no type. */
export function parseBlkidExport(text: string): Signature | null {
  const { TYPE: type, LABEL: label = '', UUID: uuid = '' } = parseBlkid(text)
  return type === undefined ? null : { type, label, uuid }
}

/** Parses `sfdisk --json`; null when it describes no partition table. */
export function parseSfdiskJson(text: string): PartitionTable | null {
  const table = (JSON.parse(text) as { partitiontable?: SfdiskTable }).partitiontable
  if (table === undefined) return null
  const sectorBytes = table.sectorsize ?? 512
  const partitions = (table.partitions ?? []).map((partition, index) => ({
    number: Number(/(\d+)$/.exec(partition.node)?.[1] ?? index + 1),
    startBytes: partition.start * sectorBytes,
    sizeBytes: partition.size * sectorBytes,
    uuid: (partition.uuid ?? '').toLowerCase(),
    name: partition.name ?? '',
    typeCode: partition.type ?? '',
    attributes: partition.attrs ?? '',
    isBootable: partition.bootable ?? false,
    signature: null,
  }))
  return { label: table.label, id: table.id ?? '', partitions }
}

interface SfdiskTable {
  readonly label: string
  readonly id?: string
  readonly sectorsize?: number
  readonly partitions?: readonly {
    readonly node: string
    readonly start: number
    readonly size: number
    readonly type?: string
    readonly uuid?: string
    readonly name?: string
    readonly attrs?: string
    readonly bootable?: boolean
  }[]
}

/** /dev/sda + 1 → /dev/sda1; /dev/nvme0n1 + 1 → /dev/nvme0n1p1. */
export function partitionPath(diskPath: string, number: number): string {
  return `${diskPath}${/\d$/.test(diskPath) ? 'p' : ''}${number}`
}

/** Start and size of a partition that the kernel knows; undefined when it knows none of that path. */
export async function readKernelPartition(
  path: string,
): Promise<{ readonly startBytes: number; readonly sizeBytes: number } | undefined> {
  const directory = join('/sys/class/block', basename(path))
  const [start, size] = [await read(directory, 'start'), await read(directory, 'size')]
  if (start === '' || size === '' || !existsSync(path)) return undefined
  return {
    startBytes: Number(start) * SYSFS_SECTOR_BYTES,
    sizeBytes: Number(size) * SYSFS_SECTOR_BYTES,
  }
}

/** Whether a device can be told that its blocks are free; they read as zeros afterwards. */
export async function canDiscard(path: string): Promise<boolean> {
  // By number: the name of a volume below /dev/mapper is a link that sysfs does not know.
  const { rdev } = await stat(path)
  const directory = await realpath(`/sys/dev/block/${formatDeviceNumber(rdev)}`)
  const isPartition = existsSync(join(directory, 'partition'))
  const queue = join(directory, isPartition ? '../queue' : 'queue')
  return Number(await read(queue, 'discard_max_bytes')) > 0
}

/** st_rdev → `major:minor` (gnu_dev_major(3)). */
export function formatDeviceNumber(rdev: number): string {
  const value = BigInt(rdev)
  const major = ((value >> 8n) & 0xfffn) | ((value >> 32n) & 0xfffff000n)
  const minor = (value & 0xffn) | ((value >> 12n) & 0xffffff00n)
  return `${major}:${minor}`
}

async function partitionNumbers(directory: string): Promise<readonly string[]> {
  const numbers: string[] = []
  for (const name of await entries(directory)) {
    if (existsSync(join(directory, name, 'partition'))) {
      numbers.push(await read(join(directory, name), 'dev'))
    }
  }
  return numbers
}

/** O_EXCL on a block device asks the kernel whether anything has claimed it or a part of it. */
function isClaimed(path: string): boolean {
  try {
    closeSync(openSync(path, constants.O_RDONLY | constants.O_EXCL))
    return false
  } catch (error) {
    if (errnoOf(error) === 'EBUSY') return true
    throw error
  }
}

async function entries(directory: string): Promise<readonly string[]> {
  return await readdir(directory).catch(() => [])
}

async function read(directory: string, name: string): Promise<string> {
  return (await readFile(join(directory, name), 'utf8').catch(() => '')).trim()
}
