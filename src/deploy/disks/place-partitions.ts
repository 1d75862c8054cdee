// Where the partitions of one disk begin and end; pure. Everything lies on whole MiB, in the order of the layout.
// Partitions that are kept stay where they are, the others fill what lies before, between and behind them.
import { formatNeed, formatSize, type SiError } from '../../core/core.ts'
import type { DiskPartition, PartitionTable } from '../../host/host.ts'
import { isLogical, partitionName } from './layout.ts'
import type { WantedDisk, WantedPartition } from './layout.ts'

export const ALIGNMENT_BYTES = 2 ** 20

/** An msdos table counts 2^32 sectors. */
const MSDOS_SECTORS = 2 ** 32

export interface PlaceOptions {
  readonly sizeBytes: number
  readonly sectorBytes: number
  readonly existing: PartitionTable | null
  /** The least that a device of the layout must have. */
  readonly needBytes: (name: string) => number
  /** Fixed sizes grow to what is needed. */
  readonly growsToNeed: boolean
  readonly refuse: (why: string, hint?: string) => SiError
}

export interface PlacedPartition {
  readonly wanted: WantedPartition
  readonly startBytes: number
  readonly sizeBytes: number
  /** The partition that is kept. */
  readonly found: DiskPartition | null
}

interface Region {
  readonly partitions: readonly WantedPartition[]
  readonly startBytes: number
  readonly endBytes: number
}

export function placePartitions(
  disk: WantedDisk,
  options: PlaceOptions,
): readonly PlacedPartition[] {
  const startBytes = ALIGNMENT_BYTES
  const endBytes = usableEnd(disk, options)
  const kept = new Map<WantedPartition, DiskPartition>()
  for (const wanted of disk.partitions) {
    if (wanted.isKept) kept.set(wanted, findKept(wanted, disk, options))
  }
  const placed: PlacedPartition[] = []
  const fill = (region: Region) => {
    const usableBytes = endBytes - startBytes
    placed.push(...fillRegion(disk, region, { ...options, usableBytes, hasKept: kept.size > 0 }))
  }
  let from = startBytes
  let waiting: WantedPartition[] = []
  for (const wanted of disk.partitions) {
    const found = kept.get(wanted)
    if (found === undefined) {
      waiting.push(wanted)
      continue
    }
    if (found.startBytes < from - ALIGNMENT_BYTES) {
      const hint = 'List the partitions in the order in which they lie on the disk'
      throw options.refuse(`kept partition ${found.number} lies before those listed above it`, hint)
    }
    fill({ partitions: waiting, startBytes: from, endBytes: alignDown(found.startBytes) })
    placed.push({ wanted, found, startBytes: found.startBytes, sizeBytes: found.sizeBytes })
    from = alignUp(found.startBytes + found.sizeBytes)
    waiting = []
  }
  fill({ partitions: waiting, startBytes: from, endBytes })
  return placed
}

function usableEnd({ label }: WantedDisk, { sizeBytes, sectorBytes }: PlaceOptions): number {
  // The backup GPT takes less than a MiB at the end.
  if (label === 'gpt') return alignDown(sizeBytes - ALIGNMENT_BYTES)
  return alignDown(Math.min(sizeBytes, MSDOS_SECTORS * sectorBytes))
}

/** By label and UUID of its file system where the layout names them, otherwise by number. */
function findKept(
  wanted: WantedPartition,
  disk: WantedDisk,
  { existing, refuse }: PlaceOptions,
): DiskPartition {
  const { label = '', uuid = '' } = wanted.fileSystem ?? {}
  const what = `partition ${partitionName(disk, wanted.number)} is to be kept`
  if (existing === null) throw refuse(`${what}, but the disk has no partition table`, KEEP_HINT)
  if (existing.label !== disk.label) {
    throw refuse(`${what}, but the table is ${existing.label}, not ${disk.label}`, KEEP_HINT)
  }
  const matches = existing.partitions.filter(({ number, signature }) => {
    if (label === '' && uuid === '') return number === wanted.number
    return (
      (label === '' || signature?.label === label) &&
      (uuid === '' || signature?.uuid.toLowerCase() === uuid.toLowerCase())
    )
  })
  const [found] = matches
  const name = label || uuid || `number ${wanted.number}`
  if (found === undefined) throw refuse(`${what}, but there is none of ${name}`, KEEP_HINT)
  if (matches.length > 1) throw refuse(`${what}, but ${matches.length} are of ${name}`, KEEP_HINT)
  const type = wanted.fileSystem?.type
  if (type !== undefined && found.signature?.type !== type) {
    const holds = found.signature?.type ?? 'nothing that is known'
    throw refuse(`${what} as ${type}, but it holds ${holds}`, KEEP_HINT)
  }
  return found
}

const KEEP_HINT = 'Correct the layout, or remove keep: true where nothing is to be kept'

function fillRegion(
  disk: WantedDisk,
  { partitions, startBytes, endBytes }: Region,
  how: PlaceOptions & { readonly usableBytes: number; readonly hasKept: boolean },
): readonly PlacedPartition[] {
  if (partitions.length === 0) return []
  const gap = ({ number }: WantedPartition) => (isLogical(disk, number) ? ALIGNMENT_BYTES : 0)
  const need = ({ number }: WantedPartition) => alignUp(how.needBytes(partitionName(disk, number)))
  const ownSize = (partition: WantedPartition): number => {
    const { size } = partition
    if (size.kind === 'rest') return need(partition)
    if (size.kind === 'percent') return alignDown((how.usableBytes * size.percent) / 100)
    return Math.max(alignUp(size.bytes), how.growsToNeed ? need(partition) : 0)
  }
  for (const partition of partitions) {
    if (ownSize(partition) >= need(partition)) continue
    const name = partitionName(disk, partition.number)
    const has = ownSize(partition)
    const needs = formatNeed(need(partition), has)
    throw how.refuse(`partition ${name} has ${formatSize(has)}, image needs ${needs}`)
  }
  const neededBytes = partitions.reduce((sum, one) => sum + gap(one) + ownSize(one), 0)
  const freeBytes = Math.max(0, endBytes - startBytes)
  if (neededBytes > freeBytes) throw doesNotFit(partitions, { ...how, freeBytes, neededBytes })
  let at = startBytes
  return partitions.map((wanted) => {
    const restBytes = wanted.size.kind === 'rest' ? freeBytes - neededBytes : 0
    const sizeBytes = ownSize(wanted) + restBytes
    const start = at + gap(wanted)
    at = start + sizeBytes
    return { wanted, found: null, startBytes: start, sizeBytes }
  })
}

function doesNotFit(
  partitions: readonly WantedPartition[],
  how: PlaceOptions & {
    readonly hasKept: boolean
    readonly freeBytes: number
    readonly neededBytes: number
  },
): SiError {
  if (how.hasKept) {
    const numbers = partitions.map(({ number }) => number).join(', ')
    const free = formatSize(how.freeBytes)
    const why = `${free} are free beside what is kept, partitions ${numbers} need ${formatNeed(how.neededBytes, how.freeBytes)}`
    return how.refuse(why, 'Give them less, or keep less')
  }
  const needs = formatNeed(how.neededBytes + 2 * ALIGNMENT_BYTES, how.sizeBytes)
  return how.refuse(
    `disk holds ${formatSize(how.sizeBytes)}, image needs ${needs}`,
    'Choose a larger disk',
  )
}

function alignUp(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT_BYTES) * ALIGNMENT_BYTES
}

function alignDown(bytes: number): number {
  return Math.floor(bytes / ALIGNMENT_BYTES) * ALIGNMENT_BYTES
}
