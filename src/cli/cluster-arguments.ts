// How several commands are told of the cluster and of hosts in it.
import { Option } from 'commander'
import type { Cluster } from '../cluster/cluster.ts'
import { SiError } from '../core/core.ts'

export const clusterOption = () =>
  new Option('--cluster <file>', 'hosts and groups, in YAML')
    .env('SI_CLUSTER')
    .default('/etc/swarmimager/cluster.yaml')

/** Names of the hosts that `node[001-016],login` or `@GROUP` stands for; undefined: all. Throws ERR_SI_NODE_UNKNOWN. */
export async function selectHosts(
  cluster: Cluster,
  text: string | undefined,
): Promise<readonly string[]> {
  const { expandList, findHost } = await import('../cluster/cluster.ts')
  if (text === undefined) return [...cluster.hosts.keys()]
  if (!text.startsWith('@')) {
    return expandList(text.toLowerCase()).map((name) => findHost(cluster, { name }).name)
  }
  const members = cluster.groups.members.get(text.slice(1))
  if (members !== undefined) return [...members]
  throw new SiError('ERR_SI_NODE_UNKNOWN', `${cluster.file} has no group "${text.slice(1)}"`, {
    hint:
      cluster.groups.order.length === 0
        ? 'Write it below groups, or name hosts'
        : `Name one of its groups: ${cluster.groups.order.join(', ')}`,
  })
}
