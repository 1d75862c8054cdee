// What holds for one host: defaults, then those of its image, its groups from the outer to the inner, and
// its own; the later wins.
import { parseDuration, SiError } from '../core/core.ts'
import { networkSchema, SCRIPT_TIME_LIMIT_MS, type NetworkConfiguration } from '../deploy/deploy.ts'
import { normalMac, type ClusterHost } from './hosts.ts'
import type { Cluster } from './load.ts'
import type { NodeConfiguration } from './node-configuration.ts'
import { BOOT_INTERFACE, mergeSettings, type Settings } from './settings.ts'

/** By what a host is known. */
export interface NodeQuery {
  readonly name?: string | undefined
  readonly macs?: readonly string[] | undefined
  readonly uuid?: string | undefined
}

/** An override is an image of this name, so that nobody installs it as a system by mistake. */
export const OVERRIDE_PREFIX = 'override-'

/**
 * The host that fits: by MAC address first, then by UUID, then by name. Throws ERR_SI_NODE_UNKNOWN, also where
 * they speak of different hosts.
 */
export function findHost(cluster: Cluster, query: NodeQuery): ClusterHost {
  const macs = new Set((query.macs ?? []).map(normalMac))
  const uuid = query.uuid?.toLowerCase() ?? ''
  const all = [...cluster.hosts.values()]
  const found = new Set([
    ...all.filter((host) => host.macs.some((mac) => macs.has(mac))),
    ...all.filter((host) => host.uuids.includes(uuid)),
  ])
  const named = cluster.hosts.get(query.name?.toLowerCase() ?? '')
  if (found.size === 0 && named !== undefined) return named
  const [host, other] = found
  if (host === undefined) throw unknown(cluster, query)
  if (other === undefined) return host
  const message = `Cannot tell who asks: its addresses belong to both ${host.name} and ${other.name}`
  throw new SiError('ERR_SI_NODE_UNKNOWN', message, {
    hint: `Give each machine its own MAC addresses and UUID in ${cluster.file}`,
  })
}

function unknown({ file }: Cluster, { name, macs = [], uuid }: NodeQuery): SiError {
  const words = [name, ...macs, uuid].filter((word) => word !== undefined && word !== '')
  const message = `No host of ${file} is ${words.join(' or ')}`
  return new SiError('ERR_SI_NODE_UNKNOWN', message, {
    hint: 'Add it under hosts, with its name and mac',
  })
}

/** Throws ERR_SI_NODE_UNKNOWN, ERR_SI_CONFIGURATION where the settings make no whole. */
export function resolveNode(cluster: Cluster, query: NodeQuery): NodeConfiguration {
  return configurationOf(cluster, findHost(cluster, query))
}

/** Groups of a host, the outer ones first. */
export function groupsOf({ groups }: Cluster, host: string): readonly string[] {
  return groups.order.filter((group) => groups.members.get(group)?.has(host))
}

/** The settings of all levels as one. */
export function settingsOf(cluster: Cluster, host: ClusterHost): Settings {
  const { value } = cluster.configuration
  const own = groupsOf(cluster, host.name).map((group): Settings => value.groups?.[group] ?? {})
  const general = value.defaults ?? {}
  const image = [general, ...own, host.settings].findLast((level) => level.image)?.image
  const ofImage = value.images?.[image?.split('/')[0] ?? ''] ?? {}
  return [ofImage, ...own, host.settings].reduce<Settings>(mergeSettings, general)
}

function configurationOf(cluster: Cluster, host: ClusterHost): NodeConfiguration {
  const settings = settingsOf(cluster, host)
  const { image, layout } = settings
  if (image === undefined) {
    const hint = 'Write image: NAME for it, for one of its groups, or under defaults'
    throw cluster.configuration.fault(['hosts', host.entry], `${host.name} has no image`, hint)
  }
  const { scriptTimeLimit } = settings
  const timeLimitMs =
    scriptTimeLimit === undefined ? SCRIPT_TIME_LIMIT_MS : parseDuration(scriptTimeLimit)
  const scripts = (names: readonly string[] = []) =>
    names.map((name) => ({ name, text: cluster.texts.get(name) ?? '' }))
  return {
    host: host.name,
    image,
    groups: [...groupsOf(cluster, host.name)],
    layout: layout === undefined ? null : (cluster.texts.get(layout) ?? ''),
    network: networkOf(cluster, host, settings.network),
    overrides: (settings.overrides ?? []).map((name) => OVERRIDE_PREFIX + name),
    preInstall: scripts(settings.preInstall),
    postInstall: scripts(settings.postInstall),
    scriptTimeLimitMs: timeLimitMs === Infinity ? null : timeLimitMs,
    onScriptFailure: settings.onScriptFailure ?? 'stop',
    afterInstall: settings.afterInstall ?? 'reboot',
    boot: settings.boot ?? 'local',
    parameters: { ...settings.parameters },
  }
}

/** null: as in the image. Throws ERR_SI_CONFIGURATION. */
export function networkOf(
  { configuration }: Cluster,
  host: ClusterHost,
  network: Settings['network'],
): NetworkConfiguration | null {
  if (network === undefined) return null
  const fault = (message: string) =>
    configuration.fault(['hosts', host.entry, 'network'], `${host.name}: ${message}`)
  const interfaces = Object.entries(network).map(([name, settings]) => {
    const { addresses = ['dhcp'], ...rest } = settings
    const isDhcp = addresses.length === 1 && addresses[0] === 'dhcp'
    const [mac] = host.macs
    if (name === BOOT_INTERFACE && mac === undefined) {
      throw fault(`the interface "${BOOT_INTERFACE}" is that of its MAC address, and it has none`)
    }
    const identity = name === BOOT_INTERFACE ? { mac } : { name }
    return { ...identity, ...rest, addresses: isDhcp ? 'dhcp' : addresses }
  })
  const result = networkSchema.safeParse({ interfaces })
  if (result.success) return result.data
  const [issue] = result.error.issues
  throw fault(`${issue?.path.join('.') ?? 'network'}: ${issue?.message ?? 'is wrong'}`)
}
