// What a living process has used so far, from the kernel's own account of it (proc_pid_stat(5),
// proc_pid_status(5)).
import { readFile } from 'node:fs/promises'

export interface ProcessAccount {
  /** User and system time of all its threads. */
  readonly cpuSeconds: number
  /** Largest resident set, shared memory included. */
  readonly peakRssBytes: number
}

/** USER_HZ: 100 on every Linux of today. */
const TICKS_PER_SECOND = 100

export async function readProcessAccount(pid: number): Promise<ProcessAccount> {
  const [stat, status] = await Promise.all([
    readFile(`/proc/${pid}/stat`, 'utf8'),
    readFile(`/proc/${pid}/status`, 'utf8'),
  ])
  const peakRssKiB = Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1])
  return { cpuSeconds: cpuSecondsOf(stat), peakRssBytes: peakRssKiB * 1024 }
}

/** User and system time of the thread that a process began with. */
export async function readMainThreadCpuSeconds(pid: number): Promise<number> {
  return cpuSecondsOf(await readFile(`/proc/${pid}/task/${pid}/stat`, 'utf8'))
}

/** User and system time of all programs that this one started and waited for, and of theirs. */
export async function readChildrenCpuSeconds(): Promise<number> {
  return cpuSecondsOf(await readFile('/proc/self/stat', 'utf8'), FIRST_OF_CHILDREN)
}

/** Counted from field 3. */
const FIRST_OF_OWN = 11
const FIRST_OF_CHILDREN = 13

function cpuSecondsOf(stat: string, first = FIRST_OF_OWN): number {
  // The name, in brackets, may hold anything; what follows it begins with field 3.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[first]) + Number(fields[first + 1])) / TICKS_PER_SECOND
}
