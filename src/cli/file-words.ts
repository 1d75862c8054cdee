// Metadata of files as ls(1) shows it. Pure.
import type { EntryType } from '../image/image.ts'

const TYPE_LETTERS: Readonly<Record<EntryType, string>> = {
  file: '-',
  hardlink: '-',
  directory: 'd',
  symlink: 'l',
  character: 'c',
  block: 'b',
  fifo: 'p',
}

/** 0o4755 → `4755`, at least three digits. */
export function formatMode(mode: number): string {
  return mode.toString(8).padStart(3, '0')
}

/** `drwxr-sr-t` */
export function formatPermissions(type: EntryType, mode: number): string {
  const triple = (shift: number, special: boolean, letter: string) => {
    const bits = (mode >> shift) & 7
    const execute = special ? (bits & 1 ? letter : letter.toUpperCase()) : bits & 1 ? 'x' : '-'
    return `${bits & 4 ? 'r' : '-'}${bits & 2 ? 'w' : '-'}${execute}`
  }
  return [
    TYPE_LETTERS[type],
    triple(6, (mode & 0o4000) !== 0, 's'),
    triple(3, (mode & 0o2000) !== 0, 's'),
    triple(0, (mode & 0o1000) !== 0, 't'),
  ].join('')
}

/** Nanoseconds since 1970 → `2026-11-22 21:00:00` in UTC; the bare number where no calendar has it. */
export function formatTime(mtimeNs: bigint): string {
  const date = new Date(Number(mtimeNs / 1_000_000n))
  if (Number.isNaN(date.getTime())) return `${mtimeNs} ns`
  return date.toISOString().slice(0, -5).replace('T', ' ')
}
