// The cluster for other tools: groups for ClusterShell (clush, nodeset) and an inventory for Ansible, both in
// YAML. Pure: values in, text out.
import { stringify } from 'yaml'
import type { Cluster } from './load.ts'
import { foldNames } from './range.ts'
import type { ClusterHost } from './hosts.ts'
import { networkOf, settingsOf } from './resolve-node.ts'

/** A file for /etc/clustershell/groups.d: source `swarmimager`, and `all` (groups.conf(5), YAML). */
export function toClusterShell({ groups, hosts }: Cluster): string {
  const members = Object.fromEntries(
    groups.order.map((group) => [group, foldNames(groups.members.get(group) ?? [])]),
  )
  return stringify({ swarmimager: { all: foldNames(hosts.keys()), ...members } }, { lineWidth: 0 })
}

/** An inventory; hosts carry their static address, image and parameters as variables. */
export function toAnsible(cluster: Cluster): string {
  const { configuration, groups, hosts } = cluster
  const children = groups.order.map((group) => {
    const inner = configuration.value.groups?.[group]?.groups ?? []
    const innerHosts = new Set(inner.flatMap((name) => [...(groups.members.get(name) ?? [])]))
    const own = [...(groups.members.get(group) ?? [])].filter((host) => !innerHosts.has(host))
    return [
      groupWord(group),
      { ...nulls('hosts', own), ...nulls('children', inner.map(groupWord)) },
    ]
  })
  const all = Object.fromEntries(
    [...hosts.values()].map((host) => [host.name, variablesOf(cluster, host)]),
  )
  return stringify(
    {
      all: {
        hosts: all,
        ...(children.length === 0 ? {} : { children: Object.fromEntries(children) }),
      },
    },
    { lineWidth: 0, nullStr: '', aliasDuplicateObjects: false },
  )
}

function nulls(key: string, names: readonly string[]) {
  return names.length === 0 ? {} : { [key]: Object.fromEntries(names.map((name) => [name, null])) }
}

/** Ansible warns of names of groups that are no names of variables. */
function groupWord(group: string): string {
  return group.replace(/^(?=\d)|[^A-Za-z0-9_]/g, '_')
}

function variablesOf(cluster: Cluster, host: ClusterHost) {
  const { image, network, parameters = {} } = settingsOf(cluster, host)
  const interfaces = networkOf(cluster, host, network)?.interfaces ?? []
  const [address] = interfaces.flatMap(({ addresses }) => (addresses === 'dhcp' ? [] : addresses))
  const entries = Object.entries(parameters).map(([key, value]) => [`si_param_${key}`, value])
  return {
    ...(address === undefined ? {} : { ansible_host: address.split('/')[0] }),
    ...(image === undefined ? {} : { si_image: image }),
    ...Object.fromEntries(entries),
  }
}
