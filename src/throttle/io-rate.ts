// Rates of I/O as people write them for si-iothrottle and si-iopolicy: `5MiB/s`, `200iops`, both by comma, `unlimited`, and, as in the
// kernel patches of 2008, a bare number of 512-byte sectors per second.
import { parseSize, SiError } from '../core/core.ts'
import { NO_IO_LIMITS, type IoLimits } from '../host/host.ts'

/** In one direction; Infinity: no limit. */
export interface IoRate {
  readonly bytesPerSecond: number
  readonly requestsPerSecond: number
}

export const UNLIMITED: IoRate = { bytesPerSecond: Infinity, requestsPerSecond: Infinity }

const SECTOR_BYTES = 512

/** `0` and `unlimited` are UNLIMITED. Throws ERR_SI_USAGE. */
export function parseIoRate(text: string): IoRate {
  return text.split(',').reduce((rate, part) => ({ ...rate, ...parsePart(part.trim(), text) }), {
    ...UNLIMITED,
  })
}

function parsePart(part: string, whole: string): Partial<IoRate> {
  if (part === 'unlimited' || part === '0') return {}
  if (/^\d+$/.test(part)) return { bytesPerSecond: Number(part) * SECTOR_BYTES }
  const requests = /^(\d+)\s*iops$/i.exec(part)?.[1]
  if (requests !== undefined) return checked({ requestsPerSecond: Number(requests) }, whole)
  if (!/^\d/.test(part)) throw faulty(whole)
  return checked({ bytesPerSecond: parseSize(part.replace(/\/s$/, '')) }, whole)
}

/** A limit of nothing would stop what it limits for ever. */
function checked(rate: Partial<IoRate>, whole: string): Partial<IoRate> {
  if (Object.values(rate).every((value) => value > 0)) return rate
  throw faulty(whole)
}

function faulty(text: string): SiError {
  return new SiError('ERR_SI_USAGE', `Cannot read "${text}" as a rate of I/O`, {
    hint: 'Write 5MiB/s, 200iops, both as 5MiB/s,200iops, a number of 512-byte sectors per second, or unlimited',
  })
}

export function toIoLimits(read: IoRate, write: IoRate): IoLimits {
  return {
    ...NO_IO_LIMITS,
    ...{ readBytesPerSecond: read.bytesPerSecond, writeBytesPerSecond: write.bytesPerSecond },
    ...{ readsPerSecond: read.requestsPerSecond, writesPerSecond: write.requestsPerSecond },
  }
}
