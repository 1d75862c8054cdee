// Puts processes into cgroups with limits, as a policy says, and takes care that they are where they belong. Invariants: a process that
// a container, somebody else's delegation, or si-iothrottle has in its hands is left alone; what was moved goes back when the
// daemon stops; after a crash the next one takes over what it finds.
import { setTimeout as delay } from 'node:timers/promises'
import { isSiError, messageOf } from '../core/core.ts'
import {
  ioGroupOf,
  isDelegated,
  listIoGroups,
  listProcesses,
  makeIoGroup,
  NO_IO_LIMITS,
  openIoGroup,
  processMark,
  readProcessOwner,
  readProcessStat,
  sharesOurProcesses,
  type IoDevice,
  type IoGroup,
  type IoHierarchy,
  type IoLimits,
} from '../host/host.ts'
import type { PolicyRule } from './policy-file.ts'
import { placeProcess, POLICY_PREFIX, type AccountRule, type Placement } from './policy-match.ts'
import type { PolicyState } from './policy-state.ts'

export interface Policy {
  readonly accounts: readonly AccountRule[]
  readonly cgroups: readonly PolicyRule[]
}

export interface PolicyDaemonOptions {
  readonly hierarchy: IoHierarchy
  readonly devices: readonly IoDevice[]
  readonly state: PolicyState
  readonly onNote: (text: string) => void
}

/** A process is where it belongs within 250 ms of its start. */
const ROUND_MS = 150
const PARENT = '/swarmimager'
const KERNEL_THREADS = 2
const MOST_ROUNDS = 50

export class PolicyDaemon {
  readonly #options: PolicyDaemonOptions
  readonly #groups = new Map<string, IoGroup>()
  readonly #marks = new Map<number, string>()
  #policy: Policy = { accounts: [], cgroups: [] }

  constructor(options: PolicyDaemonOptions) {
    this.#options = options
  }

  /** From now on this holds; processes that others hold for are moved in the next round. Throws ERR_SI_THROTTLE. */
  async setPolicy(policy: Policy): Promise<void> {
    await this.#takeOver()
    await this.#restoreCgroups(policy)
    this.#policy = policy
    this.#marks.clear()
    for (const [name, group] of this.#groups) {
      const limits = this.#limitsOf(name)
      if (limits !== undefined) await this.#limit(group, limits)
    }
    for (const { name, limits } of policy.cgroups) await this.#limitCgroup(name, limits)
  }

  /** As `setPolicy`, for looking only: nothing is limited. */
  adopt(policy: Policy): void {
    this.#policy = policy
  }

  /** Until the signal fires; then everything goes back to where it was. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.round()
      await delay(ROUND_MS, undefined, { signal }).catch(() => {})
    }
    await this.#restore()
  }

  /** Looks at every process that is new or has changed. */
  async round(): Promise<void> {
    const running = new Set(listProcesses())
    for (const pid of this.#marks.keys()) if (!running.has(pid)) this.#marks.delete(pid)
    this.#options.state.keep(running)
    for (const pid of running) {
      const mark = processMark(pid)
      if (mark === undefined || this.#marks.get(pid) === mark) continue
      if (await this.#place(pid)) this.#marks.set(pid, mark)
    }
    for (const [name, group] of this.#groups) {
      if (this.#limitsOf(name) === undefined && (await group.remove())) this.#groups.delete(name)
    }
    await this.#options.state.save()
  }

  /** Groups that an earlier daemon has left, with its limits. */
  async #takeOver(): Promise<void> {
    const { hierarchy } = this.#options
    for (const name of await listIoGroups(hierarchy, PARENT)) {
      const isKnown = this.#groups.has(name) || !name.startsWith(POLICY_PREFIX)
      if (!isKnown) this.#groups.set(name, openIoGroup(hierarchy, name))
    }
  }

  /** Where it would go; undefined: it stays. For --dry-run. */
  async wouldMove(pid: number): Promise<Placement | undefined> {
    const owner = readProcessOwner(pid)
    const stat = readProcessStat(pid)
    if (owner === undefined || stat === undefined || isKernelThread(pid, stat.parent))
      return undefined
    const current = await ioGroupOf(this.#options.hierarchy, pid)
    if (current === undefined || !this.#isOurs(pid, current)) return undefined
    return placeProcess(owner, this.#policy.accounts)
  }

  /** Whether that is done: a process that could not be moved is tried again. */
  async #place(pid: number): Promise<boolean> {
    const { hierarchy, state, onNote } = this.#options
    const stat = readProcessStat(pid)
    const owner = readProcessOwner(pid)
    const current = await ioGroupOf(hierarchy, pid)
    if (stat === undefined || owner === undefined || current === undefined) return false
    if (isKernelThread(pid, stat.parent)) return true
    if (!this.#isOurs(pid, current)) return true
    const wanted = placeProcess(owner, this.#policy.accounts)
    const isInside = current.startsWith(POLICY_PREFIX)
    if (wanted?.name === current || (wanted === undefined && !isInside)) return true
    try {
      const group =
        wanted === undefined
          ? openIoGroup(hierarchy, state.originOf(pid) ?? '/')
          : await this.#group(wanted)
      // A number that another process has taken meanwhile is not to be moved.
      if (readProcessStat(pid)?.startTicks !== stat.startTicks) return false
      if (!isInside) state.remember(pid, { startTicks: stat.startTicks, group: current })
      if (wanted === undefined) state.forget(pid)
      return await group.add(pid)
    } catch (error) {
      if (!isSiError(error, 'ERR_SI_THROTTLE')) throw error
      onNote(`${messageOf(error)}; it stays in ${current}`)
      return true
    }
  }

  /** Whether we may move a process that is there. */
  #isOurs(pid: number, current: string): boolean {
    if (current.startsWith(POLICY_PREFIX)) return true
    if (current.startsWith(`${PARENT}/`)) return false // si-iothrottle: somebody wanted just this
    return sharesOurProcesses(pid) && !isDelegated(this.#options.hierarchy, current)
  }

  async #group({ name, limits }: Placement): Promise<IoGroup> {
    const known = this.#groups.get(name)
    if (known !== undefined) return known
    const group = await makeIoGroup(this.#options.hierarchy, name)
    await this.#limit(group, limits)
    this.#groups.set(name, group)
    return group
  }

  async #limit(group: IoGroup, limits: IoLimits): Promise<void> {
    for (const { number } of this.#options.devices) await group.setLimits(number, limits)
  }

  /** Of a group of ours, by what holds now. */
  #limitsOf(name: string): IoLimits | undefined {
    for (const rule of this.#policy.accounts) {
      const own = `${POLICY_PREFIX}${rule.kind}-${rule.id}`
      if (name === own || name.startsWith(`${own}-user-`)) return rule.limits
    }
    return undefined
  }

  async #limitCgroup(name: string, limits: IoLimits): Promise<void> {
    const { hierarchy, state, onNote, devices } = this.#options
    const group = openIoGroup(hierarchy, name)
    try {
      const before = await group.limits()
      for (const { number } of devices) {
        state.rememberLimits(name, number, before.get(number) ?? NO_IO_LIMITS)
        await group.setLimits(number, limits)
      }
    } catch (error) {
      onNote(`cgroup ${name} is not limited: ${messageOf(error)}`)
    }
  }

  /** Of cgroups that are others', those that the next policy does not name. */
  async #restoreCgroups({ cgroups }: Policy): Promise<void> {
    const { hierarchy, state } = this.#options
    for (const [name, limits] of state.limits()) {
      if (cgroups.some((rule) => rule.name === name)) continue
      const group = openIoGroup(hierarchy, name)
      for (const [device, before] of limits) {
        await group.setLimits(device, before).catch(() => {}) // it is no more, or the device
      }
      state.forgetLimits(name)
    }
  }

  /** Children are started while their parents are moved: until none is left. */
  async #restore(): Promise<void> {
    const { hierarchy, state, onNote } = this.#options
    await this.#restoreCgroups({ accounts: [], cgroups: [] })
    for (const group of this.#groups.values()) {
      for (let round = 0; round < MOST_ROUNDS && !(await group.remove()); round += 1) {
        for (const pid of await group.processes()) {
          const home = openIoGroup(hierarchy, state.originOf(pid) ?? '/')
          await home.add(pid).catch(() => openIoGroup(hierarchy, '/').add(pid))
        }
      }
      if (!(await group.remove())) onNote(`${group.directory} is still in use and stays`)
    }
    await state.clear()
  }
}

function isKernelThread(pid: number, parent: number): boolean {
  return pid === KERNEL_THREADS || parent === KERNEL_THREADS
}
