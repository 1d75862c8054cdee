// The programs that change disks: wipefs, sfdisk, partx, mkfs.*, mkswap. Each call writes to the device it
// names; whoever calls has checked that this is wanted.
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

/**
 * Replaces whatever is on the disk by the partition table of an sfdisk script, and returns when the
 * kernel knows exactly the `expected` partitions. Throws ERR_SI_PROGRAM_FAILED, ERR_SI_DEPLOY.
 */
export async function partitionDisk(
  disk: string,
  script: string,
  options: { readonly expected: readonly PartitionRange[]; readonly signal: AbortSignal },
): Promise<void> {
  const { expected, signal } = options
  // Kernels that parse no partition tables, and `partx --update` when numbers have gaps, leave old
  // partitions behind; deleting all and adding all works everywhere.
  await run('partx', ['--delete', disk], { signal, okExitCodes: [0, 1] })
  await run('wipefs', ['--all', '--force', '--quiet', disk], { signal })
  const how = ['--wipe', 'always', '--wipe-partitions', 'always', '--no-reread', '--no-tell-kernel']
  await run('sfdisk', [...how, '--quiet', disk], { signal, input: script })
  await showPartitions(disk, { expected, signal })
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
