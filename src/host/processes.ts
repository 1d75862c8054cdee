// Running processes, as /proc shows them (proc_pid_stat(5), proc_pid_status(5)). A process number alone names no process for long:
// together with the time of its start it does.
import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs'

export interface ProcessStat {
  readonly pid: number
  readonly parent: number
  /** Clock ticks after the kernel's start. */
  readonly startTicks: number
  /** Clock ticks (10 ms) spent waiting for block I/O, limits included; 0 where delays are not counted. */
  readonly ioDelayTicks: number
}

/** undefined when it has ended. */
export function readProcessStat(pid: number): ProcessStat | undefined {
  let text: string
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'latin1')
  } catch {
    return undefined
  }
  // The name in parentheses may hold blanks and parentheses itself.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  const field = (number: number) => Number(fields[number - 3] ?? 0)
  return { pid, parent: field(4), startTicks: field(22), ioDelayTicks: field(42) }
}

export function listProcesses(): readonly number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 0)
}

/** A process and all that descend from it, as far as their parents still run. */
export function listFamily(pid: number): readonly ProcessStat[] {
  const stats = listProcesses().flatMap((each) => readProcessStat(each) ?? [])
  const family = new Set([pid])
  for (let size = 0; size !== family.size;) {
    size = family.size
    for (const stat of stats) if (family.has(stat.parent)) family.add(stat.pid)
  }
  return stats.filter((stat) => family.has(stat.pid))
}

export interface ProcessOwner {
  /** Real, not effective. */
  readonly uid: number
  readonly gid: number
  /** Supplementary. */
  readonly groups: readonly number[]
}

/** undefined when it has ended. */
export function readProcessOwner(pid: number): ProcessOwner | undefined {
  let text: string
  try {
    text = readFileSync(`/proc/${pid}/status`, 'latin1')
  } catch {
    return undefined
  }
  const numbers = (name: string) =>
    (new RegExp(`^${name}:(.*)$`, 'm').exec(text)?.[1] ?? '')
      .trim()
      .split(/\s+/)
      .filter(Boolean)
      .map(Number)
  const [uid, gid] = [numbers('Uid')[0], numbers('Gid')[0]]
  if (uid === undefined || gid === undefined) return undefined
  return { uid, gid, groups: numbers('Groups') }
}

/**
 * Changes when another process has this number, or this one another effective owner; undefined when there is none. Costs a
 * fraction of reading what the process is.
 */
export function processMark(pid: number): string | undefined {
  try {
    const { ino, uid, gid } = statSync(`/proc/${pid}`)
    return `${ino} ${uid} ${gid}`
  } catch {
    return undefined
  }
}

/** As ps shows it in the column COMMAND of `ps -e`; empty when it has ended. */
export function readProcessName(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim()
  } catch {
    return ''
  }
}

/** Whether it lives in the world of processes that we see first, not in a container; false as well when it has ended. */
export function sharesOurProcesses(pid: number): boolean {
  try {
    return readlinkSync(`/proc/${pid}/ns/pid`) === readlinkSync('/proc/self/ns/pid')
  } catch {
    return false
  }
}
