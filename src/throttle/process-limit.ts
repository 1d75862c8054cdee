// Limits on the I/O of a command, or of a process that runs, by cgroups of ours below /swarmimager: one for each command with all of its
// children. Invariants: a process is in its group before its first byte; nothing of ours is left when the last process has ended.
import { SiError } from '../core/core.ts'
import {
  findIoHierarchy,
  ioGroupOf,
  listFamily,
  listIoGroups,
  makeIoGroup,
  openIoGroup,
  readProcessStat,
  removeWhenEmpty,
  type IoCounts,
  type IoDevice,
  type IoGroup,
  type IoHierarchy,
  type IoLimits,
} from '../host/host.ts'

export interface ProcessLimit {
  readonly limits: IoLimits
  readonly devices: readonly IoDevice[]
}

export interface LimitedProcess {
  readonly mechanism: 'cgroup v1' | 'cgroup v2'
  /** The group's folder. */
  readonly directory: string
  /** How many processes are in it. */
  readonly processCount: number
}

const PARENT = '/swarmimager'
const PREFIX = `${PARENT}/iothrottle-`
/** A family that grows faster than it is moved, a fork bomb, is not chased for ever. */
const MOST_ROUNDS = 20

/**
 * Limits a process and its descendants, from now on and with all that they start. Where they have a limit of ours
 * already, that is changed. Throws ERR_SI_THROTTLE.
 */
export async function limitProcess(pid: number, limit: ProcessLimit): Promise<LimitedProcess> {
  const hierarchy = findIoHierarchy()
  const before = await ioGroupOf(hierarchy, pid)
  if (before === undefined) throw noProcess(pid)
  if (before.startsWith(PREFIX)) {
    const group = openIoGroup(hierarchy, before)
    await applyLimit(group, limit)
    return describe(group)
  }
  await sweep(hierarchy)
  const group = await makeIoGroup(hierarchy, `${PREFIX}${pid}`)
  try {
    await applyLimit(group, limit)
    removeWhenEmpty(group, pid)
    if (pid === process.pid) await group.add(pid)
    else await moveFamily(group, pid)
  } catch (error) {
    await group.remove()
    throw error
  }
  return describe(group)
}

async function applyLimit(group: IoGroup, { limits, devices }: ProcessLimit): Promise<void> {
  for (const { number } of devices) await group.setLimits(number, limits)
}

/** Children that are started meanwhile are found in the next round. */
async function moveFamily(group: IoGroup, pid: number): Promise<void> {
  for (let round = 0; round < MOST_ROUNDS; round += 1) {
    const inside = new Set(await group.processes())
    const missing = listFamily(pid).filter((stat) => !inside.has(stat.pid))
    if (missing.length === 0 && round > 0) return
    for (const { pid: each, startTicks } of missing) {
      // A number that another process has taken meanwhile is not ours to move.
      if (readProcessStat(each)?.startTicks !== startTicks) continue
      const isMoved = await group.add(each)
      if (!isMoved && each === pid) throw noProcess(pid)
    }
  }
}

function noProcess(pid: number): SiError {
  return new SiError('ERR_SI_THROTTLE', `There is no process ${pid}`, {
    hint: 'Look for its number with ps or pgrep',
  })
}

async function describe(group: IoGroup): Promise<LimitedProcess> {
  const { length: processCount } = await group.processes()
  return { mechanism: `cgroup ${group.kind}`, directory: group.directory, processCount }
}

/** Groups whose janitor was killed. */
async function sweep(hierarchy: IoHierarchy): Promise<void> {
  for (const name of await listIoGroups(hierarchy, PARENT)) {
    const pid = Number(name.slice(PREFIX.length))
    if (!name.startsWith(PREFIX) || readProcessStat(pid) !== undefined) continue
    await openIoGroup(hierarchy, name)
      .remove()
      .catch(() => false) // the next one tries again
  }
}

export interface GroupStatistics {
  readonly directory: string
  readonly processes: readonly number[]
  /** By device, `major:minor`. */
  readonly limits: ReadonlyMap<string, IoLimits>
  readonly counts: readonly IoCounts[]
  /** Time that its processes, as far as they still run, have waited for block I/O, limits included. */
  readonly delayMs: number
  /** Lines of io.pressure; undefined where the kernel does not tell. */
  readonly pressure: string | undefined
}

const TICK_MS = 10

/** Of the group that a process is in; undefined when none of ours is. Of all groups of ours when no process is given. */
export async function ioStatistics(pid?: number): Promise<readonly GroupStatistics[]> {
  const hierarchy = findIoHierarchy()
  if (pid === undefined) {
    const names = (await listIoGroups(hierarchy, PARENT)).filter((name) => name.startsWith(PREFIX))
    return await Promise.all(names.map((name) => statisticsOf(openIoGroup(hierarchy, name))))
  }
  const name = await ioGroupOf(hierarchy, pid)
  if (name === undefined) throw noProcess(pid)
  if (!name.startsWith(PREFIX)) return []
  return [await statisticsOf(openIoGroup(hierarchy, name))]
}

async function statisticsOf(group: IoGroup): Promise<GroupStatistics> {
  const processes = await group.processes()
  const delays = processes.map((pid) => readProcessStat(pid)?.ioDelayTicks ?? 0)
  return {
    ...{ directory: group.directory, processes },
    limits: await group.limits(),
    counts: await group.counts(),
    delayMs: TICK_MS * delays.reduce((sum, ticks) => sum + ticks, 0),
    pressure: await group.pressure(),
  }
}
