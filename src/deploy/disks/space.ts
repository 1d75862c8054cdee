// How much room an image takes on a target; pure. Estimates err on the large side: a deployment that was
// accepted must not run full half-way.
import { entryKind, type EntryTable } from '../entry-table.ts'

const BLOCK_BYTES = 4096

export interface TreeUsage {
  readonly entries: number
  /** File data in whole blocks, and a block for each directory. */
  readonly bytes: number
}

/** Free for journal, inode tables, directories that outgrow a block. */
const MARGIN_BYTES = 32 * 2 ** 20

/** mkfs refuses less (mkfs.xfs ≥ 5.19: 300 MiB; mkfs.btrfs: about 109 MiB). */
const SMALLEST_BYTES: Readonly<Record<string, number>> = {
  xfs: 300 * 2 ** 20,
  btrfs: 128 * 2 ** 20,
}

/** The least a partition may have: what it must hold, 15 % more, and a margin. */
export function minimumPartitionBytes(partition: {
  readonly type: string
  readonly usedBytes: number
  readonly usage: TreeUsage | undefined
  readonly spillBytes: number
}): number {
  const contentBytes = Math.max(partition.usedBytes, partition.usage?.bytes ?? 0)
  const neededBytes = Math.ceil(contentBytes * 1.15) + partition.spillBytes + MARGIN_BYTES
  return Math.max(neededBytes, SMALLEST_BYTES[partition.type] ?? 0)
}

/**
 * The number of inodes to ask mkfs for, null where its default is enough. ext file systems have a fixed
 * number: one per 16 KiB, below 512 MiB one per 4 KiB (mke2fs.conf(5)).
 */
export function chooseInodes(
  type: string,
  sizeBytes: number,
  usage: TreeUsage | undefined,
): number | null {
  if (!type.startsWith('ext') || usage === undefined) return null
  const bytesPerInode = sizeBytes < 512 * 2 ** 20 ? 4096 : sizeBytes < 4 * 2 ** 40 ? 16384 : 32768
  const wanted = Math.ceil(usage.entries * 1.25) + 1024
  return wanted > sizeBytes / bytesPerInode ? wanted : null
}

/** What the entries below each of these mount points take; each entry belongs to the deepest. */
export function measureUsage(
  table: EntryTable,
  mountPoints: readonly string[],
): ReadonlyMap<string, TreeUsage> {
  const byDepth = [...new Set(mountPoints)]
    .sort((a, b) => b.length - a.length)
    .map((mountPoint) => ({
      mountPoint,
      prefix: Buffer.from(mountPoint === '/' ? '' : `${mountPoint.slice(1)}/`),
      entries: 0,
      bytes: 0,
    }))
  let segment = 0
  for (let entry = 0; entry < table.count; entry++) {
    let bytes = entryKind(table, entry) === 'directory' ? BLOCK_BYTES : 0
    for (; table.segmentEntry[segment] === entry; segment++) {
      bytes += Math.ceil((table.segmentBytes[segment] ?? 0) / BLOCK_BYTES) * BLOCK_BYTES
    }
    const start = table.pathStart[entry] ?? 0
    const end = table.pathStart[entry + 1] ?? 0
    const owner = byDepth.find(({ prefix }) => hasPrefix(table.paths, start, end, prefix))
    if (owner === undefined) continue
    owner.entries++
    owner.bytes += bytes
  }
  return new Map(byDepth.map(({ mountPoint, entries, bytes }) => [mountPoint, { entries, bytes }]))
}

function hasPrefix(paths: Uint8Array, start: number, end: number, prefix: Buffer): boolean {
  if (end - start < prefix.length) return false
  for (let at = 0; at < prefix.length; at++) {
    if (paths[start + at] !== prefix[at]) return false
  }
  return true
}
