// What si-iopolicy must know to put everything back, also after a crash: where processes were, and how cgroups of others were limited.
// Kept in a file in memory (/run), replaced whole.
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { NO_IO_LIMITS, readProcessStat, type IoLimits } from '../host/host.ts'

export interface Origin {
  /** Of the process: another one may have its number now. */
  readonly startTicks: number
  readonly group: string
}

interface Kept {
  readonly origins: readonly (readonly [number, Origin])[]
  /** Cgroup, device, limits; null for none. */
  readonly limits: readonly (readonly [string, string, Readonly<Record<string, number | null>>])[]
}

/** A family tree that is deeper is a fault of /proc. */
const MOST_ANCESTORS = 64

export class PolicyState {
  readonly #file: string
  readonly #origins = new Map<number, Origin>()
  readonly #limits = new Map<string, Map<string, IoLimits>>()
  #saved = ''

  private constructor(file: string) {
    this.#file = file
  }

  static async open(file: string): Promise<PolicyState> {
    const state = new PolicyState(file)
    await mkdir(dirname(file), { recursive: true, mode: 0o755 })
    const text = await readFile(file, 'utf8').catch(() => '')
    try {
      const { origins, limits } = JSON.parse(text) as Kept
      for (const [pid, origin] of origins) state.#origins.set(pid, origin)
      for (const [name, device, before] of limits)
        state.rememberLimits(name, device, revive(before))
    } catch {
      // there is none, or a power cut: processes go back to the root then
    }
    return state
  }

  remember(pid: number, origin: Origin): void {
    this.#origins.set(pid, origin)
  }

  forget(pid: number): void {
    this.#origins.delete(pid)
  }

  /** Drops what has ended. */
  keep(running: ReadonlySet<number>): void {
    for (const pid of this.#origins.keys()) if (!running.has(pid)) this.#origins.delete(pid)
  }

  /** Where a process, or the one that it descends from, was before. */
  originOf(pid: number): string | undefined {
    let next = readProcessStat(pid)
    for (let count = 0; next !== undefined && count < MOST_ANCESTORS; count += 1) {
      const origin = this.#origins.get(next.pid)
      if (origin?.startTicks === next.startTicks) return origin.group
      next = readProcessStat(next.parent)
    }
    return undefined
  }

  /** How a cgroup was limited before the first change of ours. */
  rememberLimits(name: string, device: string, limits: IoLimits): void {
    const known = this.#limits.get(name) ?? new Map<string, IoLimits>()
    if (!known.has(device)) known.set(device, limits)
    this.#limits.set(name, known)
  }

  forgetLimits(name: string): void {
    this.#limits.delete(name)
  }

  limits(): ReadonlyMap<string, ReadonlyMap<string, IoLimits>> {
    return new Map(this.#limits)
  }

  async save(): Promise<void> {
    const limits = [...this.#limits].flatMap(([name, all]) =>
      [...all].map(([device, before]) => [name, device, before] as const),
    )
    const text = JSON.stringify({ origins: [...this.#origins], limits }) // Infinity becomes null
    if (text === this.#saved) return
    this.#saved = text
    await writeFile(`${this.#file}.new`, text, { mode: 0o600 })
    await rename(`${this.#file}.new`, this.#file)
  }

  async clear(): Promise<void> {
    this.#origins.clear()
    this.#limits.clear()
    this.#saved = ''
    await rm(this.#file, { force: true })
  }
}

function revive(limits: Readonly<Record<string, number | null>>): IoLimits {
  const known = Object.entries(limits).map(([name, value]) => [name, value ?? Infinity])
  return { ...NO_IO_LIMITS, ...(Object.fromEntries(known) as Partial<IoLimits>) }
}
