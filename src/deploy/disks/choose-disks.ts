// Which disks of this machine a layout gets; pure. A rule that fits none, or several without a word which, is
// refused: an installation must never guess whose data it erases.
import { formatSize, SiError } from '../../core/core.ts'
import type { DiskFacts } from '../../host/host.ts'
import type { DiskRule, WantedDisk } from './layout.ts'

/**
 * The path of a disk for each disk of the layout. Rules for one certain disk choose first, then those that pick
 * among several, in the order of the layout. Throws ERR_SI_TARGET_UNSUITABLE.
 */
export function chooseDisks(
  wanted: readonly WantedDisk[],
  present: readonly DiskFacts[],
): readonly string[] {
  const chosen = new Map<WantedDisk, string>()
  const isFree = ({ path }: DiskFacts) => ![...chosen.values()].includes(path)
  const certainFirst = [...wanted].sort(
    (a, b) => Number(a.rule.pick !== null) - Number(b.rule.pick !== null),
  )
  for (const disk of certainFirst) {
    chosen.set(disk, disk.rule.path ?? chooseOne(disk, present.filter(isFree), present))
  }
  const paths = wanted.map((disk) => chosen.get(disk) ?? '')
  const twice = paths.find((path, index) => paths.indexOf(path) !== index)
  if (twice !== undefined) throw refuse(`two disks of the layout would be ${twice}`, present)
  return paths
}

function chooseOne(
  { name, rule }: WantedDisk,
  free: readonly DiskFacts[],
  present: readonly DiskFacts[],
): string {
  const matches = free.filter((disk) => matchesRule(disk, rule))
  const [first, second] = matches
  if (first === undefined) throw refuse(`no disk fits ${describe(name, rule)}`, present)
  const bySize = matches.toSorted((a, b) => a.sizeBytes - b.sizeBytes)
  switch (rule.pick) {
    case 'first':
      return first.path
    case 'smallest':
      return (bySize[0] ?? first).path
    case 'largest':
      return (bySize.findLast((disk) => disk.sizeBytes === bySize.at(-1)?.sizeBytes) ?? first).path
    case null: {
      if (second === undefined) return first.path
      const which = matches.map(({ path }) => path).join(', ')
      throw refuse(`${which} all fit ${describe(name, rule)}`, present)
    }
    default:
      return rule.pick satisfies never
  }
}

/** Removable and read-only disks are never meant, unless their name is in the rule. */
function matchesRule(disk: DiskFacts, rule: DiskRule): boolean {
  const isNamed = rule.byId !== null || rule.serial !== null
  if (disk.isReadOnly || (disk.isRemovable && !isNamed)) return false
  return (
    (rule.byId === null || disk.ids.some((id) => matchesPattern(id, rule.byId ?? ''))) &&
    (rule.model === null || matchesPattern(disk.model, rule.model)) &&
    (rule.serial === null || matchesPattern(disk.serial, rule.serial)) &&
    (rule.transport === null || disk.transport === rule.transport) &&
    disk.sizeBytes >= rule.minimumBytes &&
    disk.sizeBytes <= rule.maximumBytes
  )
}

/** `*` stands for any characters; upper and lower case are the same. */
export function matchesPattern(text: string, pattern: string): boolean {
  const parts = pattern.split('*').map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&'))
  return new RegExp(`^${parts.join('.*')}$`, 'is').test(text)
}

function describe(name: string, rule: DiskRule): string {
  const words = [
    ...(rule.byId === null ? [] : [`by-id ${rule.byId}`]),
    ...(rule.model === null ? [] : [`model ${rule.model}`]),
    ...(rule.serial === null ? [] : [`serial ${rule.serial}`]),
    ...(rule.transport === null ? [] : [`transport ${rule.transport}`]),
    ...(rule.minimumBytes === 0 ? [] : [`at least ${formatSize(rule.minimumBytes)}`]),
    ...(rule.maximumBytes === Infinity ? [] : [`at most ${formatSize(rule.maximumBytes)}`]),
    ...(rule.pick === null ? [] : [rule.pick]),
  ]
  return `the rule of disk "${name}" (${words.join(', ')})`
}

function refuse(why: string, present: readonly DiskFacts[]): SiError {
  const list = present.map(({ path, sizeBytes, model, transport, isRemovable }) => {
    const about = [formatSize(sizeBytes), transport, model, ...(isRemovable ? ['removable'] : [])]
    return `${path} (${about.filter((word) => word !== '').join(', ')})`
  })
  const there = list.length === 0 ? 'this machine has no disk' : `there are ${list.join('; ')}`
  return new SiError('ERR_SI_TARGET_UNSUITABLE', `Cannot choose disks: ${why}; ${there}`, {
    hint: 'Correct the rule in the layout, or name the disks with --disk',
  })
}
