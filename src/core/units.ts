// Quantities as people write and read them. Sizes: `20MiB`, `5MB`, `512`; rates: `20MiB/s`;
// durations: `90s`, `5m`. Binary prefixes carry an i, decimal ones do not (IEC 80000-13).
import { SiError } from './errors.ts'

const SIZE_FACTORS: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  k: 2 ** 10,
  m: 2 ** 20,
  g: 2 ** 30,
  t: 2 ** 40,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
}

const DURATION_FACTORS: Readonly<Record<string, number>> = {
  ms: 1,
  '': 1000,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
}

function parseQuantity(
  text: string,
  factors: Readonly<Record<string, number>>,
): number | undefined {
  const match = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(text.trim())
  const factor = match === null ? undefined : factors[(match[2] ?? '').toLowerCase()]
  return factor === undefined ? undefined : Math.round(Number(match?.[1]) * factor)
}

/** `20MiB` → 20971520 bytes. `K`, `M`, `G`, `T` alone are binary. Throws ERR_SI_USAGE. */
export function parseSize(text: string): number {
  const bytes = parseQuantity(text, SIZE_FACTORS)
  if (bytes === undefined || !Number.isSafeInteger(bytes)) {
    throw new SiError('ERR_SI_USAGE', `Cannot read "${text}" as a size`, {
      hint: 'Write a number with a unit, such as 512KiB, 4MiB or 20GB',
    })
  }
  return bytes
}

/** `20MiB/s` → bytes per second; `unlimited` → undefined. Throws ERR_SI_USAGE. */
export function parseRate(text: string): number | undefined {
  if (text === 'unlimited') return undefined
  return parseSize(text.replace(/\/s$/, ''))
}

/** `90s`, `5m`, `1h30m`, `forever` → milliseconds (Infinity for `forever`). Throws ERR_SI_USAGE. */
export function parseDuration(text: string): number {
  if (text === 'forever') return Infinity
  const parts = text.trim().match(/\d+(?:\.\d+)?\s*[a-z]*/gi)
  const values = parts?.map((part) => parseQuantity(part, DURATION_FACTORS))
  if (values === undefined || parts?.join('') !== text.trim() || values.includes(undefined)) {
    throw new SiError('ERR_SI_USAGE', `Cannot read "${text}" as a duration`, {
      hint: 'Write a number with a unit, such as 90s, 5m or 1h30m, or the word forever',
    })
  }
  return values.reduce<number>((sum, value) => sum + (value ?? 0), 0)
}

/** 20971520 → `20.0 MiB`; below 1 KiB the exact `512 B`. */
export function formatSize(bytes: number): string {
  if (bytes < 1024) return `${Math.round(bytes)} B`
  const units = ['KiB', 'MiB', 'GiB', 'TiB', 'PiB']
  let value = bytes
  let unit = -1
  do {
    value /= 1024
    unit++
  } while (value >= 1023.95 && unit < units.length - 1)
  return `${value.toFixed(1)} ${units[unit] ?? ''}`
}

/** What is needed where there is less: `3.8 GiB (12.0 MiB more)`; both may look the same. */
export function formatNeed(neededBytes: number, presentBytes: number): string {
  return `${formatSize(neededBytes)} (${formatSize(neededBytes - presentBytes)} more)`
}

/** Bytes per second for people: `20.0 MiB/s`. */
export function formatRate(bytesPerSecond: number): string {
  return `${formatSize(bytesPerSecond)}/s`
}

/** Milliseconds for people: `0.8 s`, `42 s`, `3 min 05 s`, `2 h 07 min`. */
export function formatDuration(durationMs: number): string {
  if (!Number.isFinite(durationMs)) return 'unknown'
  if (durationMs < 10_000) return `${(durationMs / 1000).toFixed(1)} s`
  const seconds = Math.round(durationMs / 1000)
  const two = (value: number) => String(value).padStart(2, '0')
  if (seconds < 60) return `${seconds} s`
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${two(seconds % 60)} s`
  return `${Math.floor(seconds / 3600)} h ${two(Math.floor((seconds % 3600) / 60))} min`
}
