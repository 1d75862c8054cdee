// The programs that change disks: wipefs, sfdisk, partx, mkfs.*, mkswap. Each call writes to the device it
// names; whoever calls has checked that this is wanted.
import { readdir } from 'node:fs/promises'
import { basename } from 'node:path'
import { SiError } from '../core/core.ts'
import { canDiscard, partitionPath, readKernelPartition } from './block-device.ts'
import { run } from './program.ts'

/** File systems that `makeFileSystem` can make. */
export const MAKEABLE_FILE_SYSTEMS = [
  'ext2',
  'ext3',
  'ext4',
  'xfs',
  'btrfs',
  'vfat',
  'swap',
] as const
export type MakeableFileSystem = (typeof MAKEABLE_FILE_SYSTEMS)[number]

export interface PartitionRange {
  readonly number: number
  readonly startBytes: number
  readonly sizeBytes: number
}

const NODE_DEADLINE_MS = 15_000
const NODE_POLL_MS = 20

export interface PartitionDiskOptions {
  /** As the kernel sees them afterwards. */
  readonly expected: readonly PartitionRange[]
  /** Paths of the partitions whose content stays. */
  readonly kept: readonly string[]
  readonly signal: AbortSignal
}

/**
 * Replaces the partition table by that of an sfdisk script, and whatever is in the partitions but those that
 * are kept; returns when the kernel knows exactly the `expected` ones. Throws ERR_SI_PROGRAM_FAILED, ERR_SI_DEPLOY.
 */
export async function partitionDisk(
  disk: string,
  script: string,
  { expected, kept, signal }: PartitionDiskOptions,
): Promise<void> {
  await wipeOld(disk, kept, signal)
  // Kernels that parse no partition tables, and `partx --update` when numbers have gaps, leave old
  // partitions behind; deleting all and adding all works everywhere.
  await run('partx', ['--delete', disk], { signal, okExitCodes: [0, 1] })
  // A table with something to keep is replaced in one go: there is no moment without one.
  if (kept.length === 0) await wipeDevice(disk, signal)
  const how = ['--wipe', 'never', '--wipe-partitions', 'never', '--no-reread', '--no-tell-kernel']
  await run('sfdisk', [...how, '--quiet', disk], { signal, input: script })
  await showPartitions(disk, { expected, signal })
  for (const { number } of expected) {
    const path = partitionPath(disk, number)
    if (!kept.includes(path)) await wipeDevice(path, signal)
  }
}

/** Removes the signatures of whatever a device holds: nothing finds or assembles it any more. */
export async function wipeDevice(device: string, signal: AbortSignal): Promise<void> {
  await run('wipefs', ['--all', '--force', '--quiet', device], { signal })
}

/**
 * Superblocks at the end of a partition, such as md's, would otherwise come back to life when a later partition
 * ends there. An extended partition is too small for some wipefs.
 */
async function wipeOld(disk: string, kept: readonly string[], signal: AbortSignal): Promise<void> {
  for (const name of await readdir(`/sys/class/block/${basename(disk)}`)) {
    const path = `/dev/${name}`
    if (!name.startsWith(basename(disk)) || kept.includes(path)) continue
    await run('wipefs', ['--all', '--force', '--quiet', path], { signal, okExitCodes: [0, 1] })
  }
}

/** Makes the kernel know the partitions that the disk's table holds. Throws ERR_SI_DEPLOY. */
export async function showPartitions(
  disk: string,
  options: { readonly expected: readonly PartitionRange[]; readonly signal: AbortSignal },
): Promise<void> {
  const deadlineMs = performance.now() + NODE_DEADLINE_MS
  for (;;) {
    if (await areKnown(disk, options.expected)) return
    if (performance.now() > deadlineMs) {
      throw new SiError(
        'ERR_SI_DEPLOY',
        `Cannot use ${disk}: the kernel does not see its partitions`,
      )
    }
    // Fails for those it knows already, such as when udev was faster.
    await run('partx', ['--add', disk], { signal: options.signal, okExitCodes: [0, 1] })
    await new Promise((resolve) => setTimeout(resolve, NODE_POLL_MS))
  }
}

async function areKnown(disk: string, expected: readonly PartitionRange[]): Promise<boolean> {
  for (const { number, startBytes, sizeBytes } of expected) {
    const known = await readKernelPartition(partitionPath(disk, number))
    if (known?.startBytes !== startBytes || known.sizeBytes !== sizeBytes) return false
  }
  return true
}

export interface FileSystemOptions {
  readonly type: MakeableFileSystem
  /** As blkid prints it; empty lets the program choose. */
  readonly uuid: string
  readonly label: string
  /** At least this many inodes, where a file system has a fixed number. */
  readonly minimumInodes?: number
  /** The program discards the whole device first, so the journal is empty without being written. */
  readonly isDiscardable?: boolean
  readonly signal?: AbortSignal | undefined
}

/** Makes a file system on a device, whatever was there. */
export async function makeFileSystem(device: string, options: FileSystemOptions): Promise<void> {
  const isDiscardable = await canDiscard(device)
  const [program, args] = fileSystemCommand({ isDiscardable, ...options })
  await run(program, [...args, device], { signal: options.signal })
}

/** Program and arguments (but for the device) that make such a file system. */
export function fileSystemCommand(
  options: FileSystemOptions,
): readonly [program: string, args: readonly string[]] {
  const { type, uuid, label, minimumInodes, isDiscardable = false } = options
  const flag = (name: string, value: string) => (value === '' ? [] : [name, value])
  switch (type) {
    case 'ext2':
    case 'ext3':
    case 'ext4': {
      const inodes = minimumInodes === undefined ? [] : ['-N', `${minimumInodes}`]
      // Zeroing a journal writes up to 1 GiB, and is needed only where an old one could be below it.
      const journal = type !== 'ext2' && isDiscardable ? ['-E', 'lazy_journal_init=1'] : []
      const naming = [...flag('-U', uuid), ...flag('-L', label)]
      return [`mkfs.${type}`, ['-q', '-F', ...journal, ...inodes, ...naming]]
    }
    case 'xfs': {
      const id = uuid === '' ? [] : ['-m', `uuid=${uuid}`]
      return ['mkfs.xfs', ['-q', '-f', ...id, ...flag('-L', label)]]
    }
    case 'btrfs':
      return ['mkfs.btrfs', ['-q', '-f', ...flag('-U', uuid), ...flag('-L', label)]]
    case 'vfat':
      return ['mkfs.vfat', [...flag('-i', uuid.replace('-', '')), ...flag('-n', label)]]
    case 'swap':
      return ['mkswap', ['-f', ...flag('-U', uuid), ...flag('-L', label)]]
    default:
      return type satisfies never
  }
}
