// What the kernel writes and reads of limits on I/O, and of what was moved: files of cgroup v1 and v2 as values. Pure but for
// finding the hierarchy. Specs: Documentation/admin-guide/cgroup-v2.rst (IO), cgroup-v1/blkio-controller.rst.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { SiError } from '../core/core.ts'
import { unescapeOctal } from './mounts.ts'

export interface IoHierarchy {
  readonly kind: 'v1' | 'v2'
  /** Such as /sys/fs/cgroup/blkio. */
  readonly mountPoint: string
}

/** Infinity: no limit. */
export interface IoLimits {
  readonly readBytesPerSecond: number
  readonly writeBytesPerSecond: number
  readonly readsPerSecond: number
  readonly writesPerSecond: number
}

export const NO_IO_LIMITS: IoLimits = {
  ...{ readBytesPerSecond: Infinity, writeBytesPerSecond: Infinity },
  ...{ readsPerSecond: Infinity, writesPerSecond: Infinity },
}

/** What a group has moved on one device since it was made. */
export interface IoCounts {
  /** `major:minor` */
  readonly device: string
  readonly readBytes: number
  readonly writtenBytes: number
  readonly reads: number
  readonly writes: number
}

export type LimitName = keyof IoLimits
export const LIMIT_NAMES: readonly LimitName[] = [
  ...(['readBytesPerSecond', 'writeBytesPerSecond', 'readsPerSecond', 'writesPerSecond'] as const),
]
export const V1_FILES: Readonly<Record<LimitName, string>> = {
  readBytesPerSecond: 'blkio.throttle.read_bps_device',
  writeBytesPerSecond: 'blkio.throttle.write_bps_device',
  readsPerSecond: 'blkio.throttle.read_iops_device',
  writesPerSecond: 'blkio.throttle.write_iops_device',
}
export const V2_KEYS: Readonly<Record<LimitName, string>> = {
  ...{ readBytesPerSecond: 'rbps', writeBytesPerSecond: 'wbps' },
  ...{ readsPerSecond: 'riops', writesPerSecond: 'wiops' },
}
/** Where this machine limits I/O, from the text of /proc/self/mountinfo; v2 only if `hasIo` its root has the controller. */
export function chooseIoHierarchy(
  mountInfo: string,
  hasIo: (mountPoint: string) => boolean,
): IoHierarchy | undefined {
  const mounts = mountInfo.split('\n').flatMap((line) => {
    const [left = '', right = ''] = line.split(' - ')
    const [type, , options = ''] = right.split(' ')
    const mountPoint = unescapeOctal(left.split(' ')[4] ?? '')
    return mountPoint === '' ? [] : [{ type, mountPoint, options: options.split(',') }]
  })
  const v2 = mounts.find(({ type, mountPoint }) => type === 'cgroup2' && hasIo(mountPoint))
  if (v2 !== undefined) return { kind: 'v2', mountPoint: v2.mountPoint }
  const v1 = mounts.find(({ type, options }) => type === 'cgroup' && options.includes('blkio'))
  return v1 === undefined ? undefined : { kind: 'v1', mountPoint: v1.mountPoint }
}

/** Throws ERR_SI_THROTTLE when this kernel, or this container, limits no I/O. */
export function findIoHierarchy(): IoHierarchy {
  const found = chooseIoHierarchy(readFileSync('/proc/self/mountinfo', 'utf8'), hasController)
  if (found !== undefined) return found
  throw new SiError('ERR_SI_THROTTLE', 'Cannot limit I/O: no cgroup hierarchy has the controller', {
    hint: 'Mount cgroup2, or boot without cgroup_disable=io; in a container, run it on the host',
  })
}

function hasController(mountPoint: string): boolean {
  try {
    const text = readFileSync(join(mountPoint, 'cgroup.controllers'), 'utf8')
    return text.trim().split(' ').includes('io')
  } catch {
    return false
  }
}

/** `8:0 rbps=1048576 wbps=max riops=max wiops=max` lines. */
export function parseIoMax(text: string): ReadonlyMap<string, IoLimits> {
  return new Map(
    lines(text).map((line) => {
      const [device = '', ...words] = line.split(' ')
      const values = new Map(words.map((each) => each.split('=') as [string, string]))
      const limit = (name: LimitName) => {
        const value = values.get(V2_KEYS[name])
        return value === undefined || value === 'max' ? Infinity : Number(value)
      }
      const all = LIMIT_NAMES.map((name) => [name, limit(name)])
      return [device, Object.fromEntries(all) as unknown as IoLimits]
    }),
  )
}

/** `8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0` lines of v2. */
export function parseIoStat(text: string): readonly IoCounts[] {
  return lines(text).map((line) => {
    const [device = '', ...words] = line.split(' ')
    const values = new Map(words.map((each) => each.split('=') as [string, string]))
    const count = (key: string) => Number(values.get(key) ?? 0)
    const [readBytes, writtenBytes] = [count('rbytes'), count('wbytes')]
    return { device, readBytes, writtenBytes, reads: count('rios'), writes: count('wios') }
  })
}

/** `8:0 Read 4096` lines of v1: bytes, and requests. */
export function parseServiced(bytesText: string, requestsText: string): readonly IoCounts[] {
  const read = (text: string) => {
    const words = lines(text).map((line) => line.split(' '))
    const rows = words.filter(({ length }) => length === 3)
    return new Map(rows.map(([device, what, value]) => [`${device} ${what}`, Number(value)]))
  }
  const [bytes, requests] = [read(bytesText), read(requestsText)]
  const devices = new Set([...bytes.keys()].map((key) => key.split(' ')[0] ?? ''))
  return [...devices].map((device) => ({
    device,
    readBytes: bytes.get(`${device} Read`) ?? 0,
    writtenBytes: bytes.get(`${device} Write`) ?? 0,
    reads: requests.get(`${device} Read`) ?? 0,
    writes: requests.get(`${device} Write`) ?? 0,
  }))
}

export function lines(text: string): readonly string[] {
  return text.split('\n').filter((line) => line !== '')
}
