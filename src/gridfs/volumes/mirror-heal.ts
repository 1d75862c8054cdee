// Brings members of a mirror up to date that have missed changes. Most is copied while changes go on; what
// was changed meanwhile is copied while nobody may change anything, and then the member is clean. One mount
// heals at a time. PROTOCOL.md §7.
import { FuseError } from '../fuse/errno.ts'
import { type WireMiss } from '../wire/operations.ts'
import { type Member } from './member.ts'
import { type MirrorHold } from './mirror-hold.ts'
import { type Roster } from './roster.ts'
import { TreeSync, type SyncCount } from './tree-sync.ts'

export interface HealOptions {
  /** Everything is compared, whatever is written down. */
  readonly isFull: boolean
  readonly isDryRun: boolean
  readonly onNote: (text: string) => void
}

export interface HealedMember extends SyncCount {
  readonly member: string
  /** `away` members stay as they are. */
  readonly state: 'clean' | 'healed' | 'would be healed' | 'away'
}

export type HealReport = readonly HealedMember[]

interface HealSite {
  readonly roster: Roster
  readonly hold: MirrorHold
}

const NOTHING: SyncCount = { comparedBytes: 0, movedBytes: 0, changed: 0 }
const ROOT = Buffer.alloc(0)

export async function healMirror(site: HealSite, options: HealOptions): Promise<HealReport> {
  const { roster, hold } = site
  // From now on all mounts write down anew what dirty members miss.
  const [source] = await hold.during(undefined, () => Promise.resolve(hold.clean))
  await hold.close()
  if (source === undefined) throw new FuseError('ENOTCONN')
  await source.ask('hold', { what: 'healing', waits: true })
  try {
    const report: HealedMember[] = []
    for (const member of roster.members) {
      report.push(await healMember(site, { member, source }, options))
    }
    return report
  } finally {
    await source.ask('letGo', { what: 'healing', isSettled: true }).catch(() => {})
  }
}

async function healMember(
  site: HealSite,
  { member, source }: { readonly member: Member; readonly source: Member },
  options: HealOptions,
): Promise<HealedMember> {
  const { isFull, isDryRun, onNote } = options
  const named = { member: member.name }
  if (member === source) return { ...named, ...NOTHING, state: 'clean' }
  if (!member.isUp) return { ...named, ...NOTHING, state: 'away' }
  const isClean = site.roster.isClean(member)
  if (isClean && !isFull) return { ...named, ...NOTHING, state: 'clean' }
  onNote(`${member.name}: comparing with ${source.name}`)
  const sync = new TreeSync({ source, target: member, isFull, isDryRun })
  if (isClean) {
    // Changes that one has done and the other not yet would look like differences.
    await site.hold.during(undefined, async () => {
      await sync.bring(ROOT, 'tree')
      await sync.finish()
    })
    return { ...named, ...sync.count, state: 'clean' }
  }
  const next = await catchUp(sync, { source, member, position: 0, isFull })
  await sync.finish()
  if (isDryRun) return { ...named, ...sync.count, state: 'would be healed' }
  await site.hold.during(undefined, async () => {
    await catchUp(sync, { source, member, position: next, isFull: false })
    await sync.finish()
    await site.hold.include(member)
  })
  await site.hold.close()
  return { ...named, ...sync.count, state: 'healed' }
}

/** Makes good what is written down from a position on; where that ends. */
async function catchUp(
  sync: TreeSync,
  from: {
    readonly source: Member
    readonly member: Member
    readonly position: number
    readonly isFull: boolean
  },
): Promise<number> {
  const { source, member } = from
  const done = new Set<string>()
  let { position } = from
  let isFull = from.isFull
  for (;;) {
    const request = { member: Buffer.from(member.name), position }
    const { misses, next, isWhole } = (await source.ask('misses', request)).reply
    // What was written down before the power went may not be all; after a restart nothing is known.
    if (from.position === 0 && position === 0 && !isWhole) isFull = true
    if (isFull && position === from.position) await sync.bring(ROOT, 'tree')
    for (const miss of isFull ? [] : misses) {
      const key = keyOf(miss)
      if (miss.kind === 'object' && done.has(key)) continue
      done.add(key)
      await sync.miss(miss)
    }
    position = next
    if (misses.length === 0) return position
  }
}

function keyOf({ kind, path, from }: WireMiss): string {
  return [kind, ...[path, from].map((one) => Buffer.from(one).toString('latin1'))].join('\0')
}
