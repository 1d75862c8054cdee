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
  // The name, in brackets, may hold anything; what follows it begins with field 3.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const ticks = Number(fields[11]) + Number(fields[12])
  const peakRssKiB = Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1])
  return { cpuSeconds: ticks / TICKS_PER_SECOND, peakRssBytes: peakRssKiB * 1024 }
}
