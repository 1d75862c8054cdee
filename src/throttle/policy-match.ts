// Which rule holds for a process, and which cgroup it goes into. Pure: names of users and groups are resolved before.
import type { IoLimits } from '../host/host.ts'
import type { PolicyRule } from './policy-file.ts'

/** Below the hierarchy; everything in it is ours. */
export const POLICY_PREFIX = '/swarmimager/policy-'

/** A rule for processes, with the number of its user or group. */
export interface AccountRule extends PolicyRule {
  readonly kind: 'user' | 'group'
  readonly id: number
}

export interface ProcessAccount {
  /** Real user and group, and those that the user is a member of besides. */
  readonly uid: number
  readonly gid: number
  readonly groups: readonly number[]
}

export interface Placement {
  /** Of the cgroup. */
  readonly name: string
  readonly limits: IoLimits
}

/** undefined: no rule, or one without a limit; then the process stays where it is. */
export function placeProcess(
  account: ProcessAccount,
  rules: readonly AccountRule[],
): Placement | undefined {
  const rule = rules.find(({ kind, id }) =>
    kind === 'user' ? account.uid === id : account.gid === id || account.groups.includes(id),
  )
  if (rule === undefined || Object.values(rule.limits).every((value) => value === Infinity)) {
    return undefined
  }
  const { kind, id, isJoint, limits } = rule
  const member = kind === 'group' && !isJoint ? `-user-${account.uid}` : ''
  return { name: `${POLICY_PREFIX}${kind}-${id}${member}`, limits }
}
