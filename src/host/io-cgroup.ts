// Kernel limits on the I/O of groups of processes: `io.max` of cgroup v2, `blkio.throttle.*` of v1. Invariant: a limit holds only
// if the kernel shows it when it is read back; a kernel that ignores one is an error, not a silent nothing. Limits hold for each
// device by itself. Specs: Documentation/admin-guide/cgroup-v2.rst (IO), cgroup-v1/blkio-controller.rst.
import { spawn } from 'node:child_process'
import { statSync } from 'node:fs'
import { mkdir, readdir, readFile, rmdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { errnoOf, messageOf, SiError } from '../core/core.ts'
import { lgetxattr } from './syscalls.ts'
import {
  LIMIT_NAMES,
  lines,
  NO_IO_LIMITS,
  parseIoMax,
  parseIoStat,
  parseServiced,
  V1_FILES,
  V2_KEYS,
  type IoCounts,
  type IoHierarchy,
  type IoLimits,
} from './io-cgroup-text.ts'

export {
  findIoHierarchy,
  NO_IO_LIMITS,
  type IoCounts,
  type IoHierarchy,
  type IoLimits,
} from './io-cgroup-text.ts'

/** Of v1 and v2: the kernel keeps IOPS in 32 bits. */
const MOST_IOPS = 2 ** 32 - 1

/** A group of processes whose I/O is limited together. */
export interface IoGroup {
  /** Below the hierarchy, beginning with a slash. */
  readonly name: string
  readonly directory: string
  readonly kind: IoHierarchy['kind']
  /** Throws ERR_SI_THROTTLE when the kernel does not take a limit, or does not keep it. */
  setLimits(device: string, limits: IoLimits): Promise<void>
  /** By device; only devices with a limit. */
  limits(): Promise<ReadonlyMap<string, IoLimits>>
  /** Moves a process with all of its threads. False when it has ended. Throws ERR_SI_THROTTLE. */
  add(pid: number): Promise<boolean>
  processes(): Promise<readonly number[]>
  counts(): Promise<readonly IoCounts[]>
  /** `some` and `full` lines of io.pressure; undefined where the kernel does not tell. */
  pressure(): Promise<string | undefined>
  /** False while processes are in it. */
  remove(): Promise<boolean>
}

/** The group of this name, which is made with those above it. Throws ERR_SI_THROTTLE. */
export async function makeIoGroup(hierarchy: IoHierarchy, name: string): Promise<IoGroup> {
  const group = openIoGroup(hierarchy, name)
  try {
    for (const directory of foldersOf(hierarchy, name).slice(1)) {
      await mkdir(directory).catch((error: unknown) => {
        if (errnoOf(error) !== 'EEXIST') throw error
      })
    }
    if (hierarchy.kind === 'v2') await passControllerDown(hierarchy, name)
  } catch (error) {
    throw notPermitted(`Cannot make the cgroup ${group.directory}`, error)
  }
  return group
}

/** The group of this name, which is there. */
export function openIoGroup(hierarchy: IoHierarchy, name: string): IoGroup {
  return new Group(hierarchy, name)
}

/** From the root of the hierarchy to the group. */
function foldersOf({ mountPoint }: IoHierarchy, name: string): readonly string[] {
  const parts = name.split('/').filter(Boolean)
  return [mountPoint, ...parts.map((_, index) => join(mountPoint, ...parts.slice(0, index + 1)))]
}

/** In v2 a group has a controller only if each one above it passes it down. */
async function passControllerDown(hierarchy: IoHierarchy, name: string): Promise<void> {
  for (const parent of foldersOf(hierarchy, name).slice(0, -1)) {
    const file = join(parent, 'cgroup.subtree_control')
    if (!(await readFile(file, 'utf8')).split(/\s/).includes('io')) await writeFile(file, '+io')
  }
}

/** The names of groups directly below one. */
export async function listIoGroups(
  { mountPoint }: IoHierarchy,
  parent: string,
): Promise<readonly string[]> {
  const entries = await readdir(join(mountPoint, parent), { withFileTypes: true }).catch(() => [])
  return entries.filter((entry) => entry.isDirectory()).map(({ name }) => join(parent, name))
}

/** The group that a process is in; undefined when it has ended. */
export async function ioGroupOf(
  { kind }: IoHierarchy,
  pid: number | 'self',
): Promise<string | undefined> {
  const text = await readFile(`/proc/${pid}/cgroup`, 'utf8').catch(() => '')
  for (const line of text.split('\n')) {
    const [, , controllers = '', name] = /^(\d+):([^:]*):(.*)$/.exec(line) ?? []
    const isIt = kind === 'v2' ? controllers === '' : controllers.split(',').includes('blkio')
    if (isIt && name !== undefined) return name
  }
  return undefined
}

/**
 * Whether somebody else rules over a group: a container, or a user to whom it was given (cgroup-v2.rst, Delegation;
 * systemd marks what it delegates by an extended attribute).
 */
export function isDelegated(hierarchy: IoHierarchy, name: string): boolean {
  return foldersOf(hierarchy, name).some((directory) => {
    try {
      if (statSync(directory).uid !== 0) return true
      return lgetxattr(directory, 'trusted.delegate')?.toString() === '1'
    } catch (error) {
      if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'EOPNOTSUPP') return false
      throw error
    }
  })
}

class Group implements IoGroup {
  readonly name: string
  readonly directory: string
  readonly kind: IoHierarchy['kind']

  constructor({ kind, mountPoint }: IoHierarchy, name: string) {
    this.kind = kind
    this.name = name
    this.directory = join(mountPoint, name)
  }

  async setLimits(device: string, limits: IoLimits): Promise<void> {
    const wanted = rounded(limits)
    try {
      if (this.kind === 'v2') {
        const words = LIMIT_NAMES.map((name) => `${V2_KEYS[name]}=${word(wanted[name], 'max')}`)
        await this.#write('io.max', `${device} ${words.join(' ')}`)
      } else {
        for (const name of LIMIT_NAMES) {
          await this.#write(V1_FILES[name], `${device} ${word(wanted[name], '0')}`)
        }
      }
    } catch (error) {
      throw notPermitted(`Cannot limit I/O on device ${device}`, error)
    }
    const kept = (await this.limits()).get(device) ?? NO_IO_LIMITS
    if (LIMIT_NAMES.every((name) => kept[name] === wanted[name])) return
    throw new SiError('ERR_SI_THROTTLE', `The kernel does not keep the limit on device ${device}`, {
      hint: 'Use a kernel with CONFIG_BLK_DEV_THROTTLING, and a device with a request queue',
    })
  }

  async limits(): Promise<ReadonlyMap<string, IoLimits>> {
    if (this.kind === 'v2') return parseIoMax(await this.#read('io.max'))
    const all = new Map<string, IoLimits>()
    for (const name of LIMIT_NAMES) {
      for (const line of lines(await this.#read(V1_FILES[name]))) {
        const [device = '', value = ''] = line.split(' ')
        all.set(device, { ...(all.get(device) ?? NO_IO_LIMITS), [name]: Number(value) })
      }
    }
    return all
  }

  async add(pid: number): Promise<boolean> {
    try {
      await this.#write('cgroup.procs', `${pid}`)
      return true
    } catch (error) {
      if (errnoOf(error) === 'ESRCH') return false
      throw notPermitted(`Cannot move process ${pid} into a cgroup of its own`, error)
    }
  }

  async processes(): Promise<readonly number[]> {
    const text = await this.#read('cgroup.procs').catch(ifGone(''))
    return lines(text).map(Number)
  }

  async counts(): Promise<readonly IoCounts[]> {
    if (this.kind === 'v2') return parseIoStat(await this.#read('io.stat'))
    const bytes = await this.#read('blkio.throttle.io_service_bytes')
    return parseServiced(bytes, await this.#read('blkio.throttle.io_serviced'))
  }

  async pressure(): Promise<string | undefined> {
    if (this.kind === 'v1') return undefined
    const text = await this.#read('io.pressure').catch(() => undefined)
    return text?.trim()
  }

  async remove(): Promise<boolean> {
    try {
      await rmdir(this.directory)
    } catch (error) {
      if (errnoOf(error) === 'EBUSY') return false
      if (errnoOf(error) !== 'ENOENT') throw error
    }
    return true
  }

  #read(file: string): Promise<string> {
    return readFile(join(this.directory, file), 'utf8')
  }

  #write(file: string, text: string): Promise<void> {
    return writeFile(join(this.directory, file), text)
  }
}

function word(value: number, unlimited: string): string {
  return value === Infinity ? unlimited : `${value}`
}

/** The kernel takes whole numbers, and at least one. */
function rounded(limits: IoLimits): IoLimits {
  const whole = (value: number) => (value === Infinity ? value : Math.max(1, Math.round(value)))
  const iops = (value: number) => (value >= MOST_IOPS ? Infinity : whole(value))
  return {
    readBytesPerSecond: whole(limits.readBytesPerSecond),
    writeBytesPerSecond: whole(limits.writeBytesPerSecond),
    readsPerSecond: iops(limits.readsPerSecond),
    writesPerSecond: iops(limits.writesPerSecond),
  }
}

function ifGone<T>(value: T): (error: unknown) => T {
  return (error) => {
    if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ENODEV') return value
    throw error
  }
}

const REMEDIES: Readonly<Record<string, string>> = {
  EACCES: 'Run it as root',
  EPERM: 'Run it as root',
  EROFS: 'cgroups are read-only here, as in most containers: run it on the host',
  ENODEV: 'The device has gone; name another one',
  EBUSY: 'Processes in a cgroup above keep it from passing the io controller down',
  EOPNOTSUPP: 'The process belongs to a threaded cgroup, which cannot be left by itself',
}

function notPermitted(what: string, error: unknown): SiError {
  if (error instanceof SiError) return error
  const hint = REMEDIES[errnoOf(error) ?? '']
  return new SiError('ERR_SI_THROTTLE', `${what}: ${messageOf(error)}`, { hint, cause: error })
}

/** `$1` the group, `$2` a process that will be in it: it may not be yet. */
const JANITOR = `
while kill -0 "$2" 2>/dev/null || read -r _ <"$1/cgroup.procs"; do sleep 1; done 2>/dev/null
rmdir "$1"
`

/** Leaves a small process behind that removes the group when `pid` and all others in it have ended. */
export function removeWhenEmpty({ directory }: IoGroup, pid: number): void {
  const args = ['-c', JANITOR, 'si-iothrottle-janitor', directory, `${pid}`]
  spawn('sh', args, { detached: true, stdio: 'ignore', cwd: '/' }).unref()
}
