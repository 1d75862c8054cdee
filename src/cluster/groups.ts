// Who is in which group. A group holds hosts and other groups; what is in a group of a group is in both.
// Invariant: the order of groups puts the outer before the inner, and keeps that of the file otherwise, so
// that what is said of fewer hosts is said later and wins.
import { expandList } from './range.ts'

export interface GroupText {
  readonly hosts?: readonly string[] | undefined
  readonly groups?: readonly string[] | undefined
}

export interface GroupFault {
  readonly group: string
  readonly key: 'hosts' | 'groups'
  readonly message: string
}

export interface Groups {
  /** Outer groups first. */
  readonly order: readonly string[]
  /** Hosts of a group, those of its groups included. */
  readonly members: ReadonlyMap<string, ReadonlySet<string>>
}

/** Calls `onFault`, which must throw, for what is no sensible set of groups. */
export function resolveGroups(
  texts: Readonly<Record<string, GroupText>>,
  isHost: (name: string) => boolean,
  onFault: (fault: GroupFault) => never,
): Groups {
  const order = sortGroups(texts, onFault)
  const members = new Map<string, Set<string>>()
  for (const group of order.toReversed()) {
    const { hosts = [], groups = [] } = texts[group] ?? {}
    const own = hosts.flatMap((list) => [...expandHosts(list, group, onFault)])
    const stranger = own.find((host) => !isHost(host))
    if (stranger !== undefined) {
      const message = `"${stranger}" is no host of this file: name it under hosts`
      onFault({ group, key: 'hosts', message })
    }
    const inner = groups.flatMap((name) => [...(members.get(name) ?? [])])
    members.set(group, new Set([...own, ...inner]))
  }
  return { order, members }
}

function expandHosts(
  list: string,
  group: string,
  onFault: (fault: GroupFault) => never,
): readonly string[] {
  try {
    return expandList(list.toLowerCase())
  } catch (error) {
    return onFault({ group, key: 'hosts', message: (error as Error).message })
  }
}

/** Again and again the first group of the file that is in no group left (Kahn). */
function sortGroups(
  texts: Readonly<Record<string, GroupText>>,
  onFault: (fault: GroupFault) => never,
): readonly string[] {
  const left = new Set(Object.keys(texts))
  for (const [group, { groups = [] }] of Object.entries(texts)) {
    const stranger = groups.find((name) => !left.has(name))
    if (stranger !== undefined) {
      onFault({ group, key: 'groups', message: `there is no group "${stranger}"` })
    }
  }
  const order: string[] = []
  while (left.size > 0) {
    const inner = new Set([...left].flatMap((name) => texts[name]?.groups ?? []))
    const next = [...left].find((name) => !inner.has(name))
    if (next === undefined) {
      const [group = ''] = left
      return onFault({ group, key: 'groups', message: `"${group}" is in itself, by its groups` })
    }
    left.delete(next)
    order.push(next)
  }
  return order
}
