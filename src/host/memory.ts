// How much memory the machine can still give (proc_meminfo(5)).
import { readFile } from 'node:fs/promises'

/** MemAvailable in bytes from the text of /proc/meminfo; 0 when the line is missing. */
export function parseMemoryAvailable(text: string): number {
  const match = /^MemAvailable:\s+(\d+) kB$/m.exec(text)
  return match === null ? 0 : Number(match[1]) * 1024
}

/** Bytes that new work may take without swapping. */
export async function readMemoryAvailable(): Promise<number> {
  return parseMemoryAvailable(await readFile('/proc/meminfo', 'utf8'))
}
