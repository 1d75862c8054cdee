// The hosts of cluster.yaml one by one: ranges in names, and what stands beside them for each. A host may
// occur in several entries, the later adds to the earlier. Invariant: no MAC address and no UUID belongs
// to two hosts, so whoever asks with one gets the configuration of that machine and no other.
import { messageOf } from '../core/core.ts'
import type { Configuration } from '../config/config.ts'
import { expandList, expandRange, type Radix } from './range.ts'
import {
  mergeSettings,
  type ClusterText,
  type InterfaceSettings,
  type Settings,
} from './settings.ts'

export interface ClusterHost {
  readonly name: string
  /** Lower case, with colons; the first is that of the interface `boot`. */
  readonly macs: readonly string[]
  /** Lower case. */
  readonly uuids: readonly string[]
  readonly settings: Settings
  /** Key of the last entry that speaks of the host, for messages. */
  readonly entry: string
}

type HostText = NonNullable<ClusterText['hosts']>[string]

const HOST_NAME = /^(?=.{1,64}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/
const MAC = /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/** As hosts are compared: lower case, colons. */
export function normalMac(text: string): string {
  return text.toLowerCase().replaceAll('-', ':')
}

/** Throws ERR_SI_CONFIGURATION. */
export function expandHosts(
  configuration: Configuration<ClusterText>,
): ReadonlyMap<string, ClusterHost> {
  const hosts = new Map<string, ClusterHost>()
  for (const [key, text] of Object.entries(configuration.value.hosts ?? {})) {
    const entry = new HostEntry(configuration, key, text)
    for (let index = 0; index < entry.names.length; index++) {
      const own = entry.host(index)
      const known = hosts.get(own.name)
      const settings = known ? mergeSettings(known.settings, own.settings) : own.settings
      const macs = union(known?.macs, own.macs)
      const uuids = union(known?.uuids, own.uuids)
      hosts.set(own.name, { ...own, macs, uuids, settings })
    }
  }
  refuseDoubles(configuration, [...hosts.values()])
  return hosts
}

function union(some: readonly string[] = [], others: readonly string[]): readonly string[] {
  return [...new Set([...some, ...others])]
}

/** One entry of `hosts`: its names, and the n-th value of each range for the n-th of them. */
class HostEntry {
  readonly names: readonly string[]
  readonly #configuration: Configuration<ClusterText>
  readonly #key: string
  readonly #text: HostText
  readonly #macs: readonly (readonly string[])[]
  readonly #uuids: readonly (readonly string[])[]

  constructor(configuration: Configuration<ClusterText>, key: string, text: HostText) {
    this.#configuration = configuration
    this.#key = key
    this.#text = text
    this.names = this.#trying([], () => expandList(key.toLowerCase()))
    const wrong = this.names.find((name) => !HOST_NAME.test(name))
    if (wrong !== undefined || this.names.length === 0) {
      throw this.#fault([], `"${wrong ?? key}" is no name of a host`)
    }
    this.#macs = this.#identities('mac', MAC, 'MAC address such as 52:54:00:12:34:56')
    this.#uuids = this.#identities('uuid', UUID, 'UUID of a machine')
  }

  host(index: number): ClusterHost {
    const network = this.#text.network && this.#networkOf(index, this.#text.network)
    return {
      name: this.names[index] ?? '',
      macs: this.#macs[index] ?? [],
      uuids: this.#uuids[index] ?? [],
      settings: { ...this.#text, network },
      entry: this.#key,
    }
  }

  /** Several values for one host are all its own; for several hosts there is one each. */
  #identities(key: 'mac' | 'uuid', pattern: RegExp, what: string): readonly (readonly string[])[] {
    const given = this.#text[key]
    if (given === undefined) return []
    const values = this.#trying([key], () => given.flatMap((text) => [...expandRange(text, 16)]))
    const normal = values.map((value) => (key === 'mac' ? normalMac(value) : value.toLowerCase()))
    const wrong = normal.find((value) => !pattern.test(value))
    if (wrong !== undefined) throw this.#fault([key], `"${wrong}" is no ${what}`)
    if (this.names.length === 1) return [normal]
    if (normal.length !== this.names.length) throw this.#uneven([key], normal.length)
    return normal.map((value) => [value])
  }

  #networkOf(index: number, network: NonNullable<Settings['network']>): Settings['network'] {
    const own: Record<string, InterfaceSettings> = {}
    for (const [name, settings] of Object.entries(network)) {
      const { addresses, gateway } = settings
      const pick = (key: string) => (text: string) => this.#nth(index, text, ['network', name, key])
      own[name] = {
        ...settings,
        ...(addresses === undefined ? {} : { addresses: addresses.map(pick('addresses')) }),
        ...(gateway === undefined ? {} : { gateway: pick('gateway')(gateway) }),
      }
    }
    return own
  }

  #nth(index: number, text: string, path: readonly string[]): string {
    if (!text.includes('[')) return text
    const radix: Radix = text.includes(':') ? 16 : 10
    const values = this.#trying(path, () => expandRange(text, radix))
    if (values.length !== this.names.length) throw this.#uneven(path, values.length)
    return values[index] ?? ''
  }

  #trying<T>(path: readonly string[], read: () => T): T {
    try {
      return read()
    } catch (error) {
      throw this.#fault(path, messageOf(error))
    }
  }

  #uneven(path: readonly string[], count: number) {
    const hosts = this.names.length === 1 ? '1 host' : `${this.names.length} hosts`
    return this.#fault(path, `${count} values do not fit ${hosts}, ${this.#key}`)
  }

  #fault(path: readonly string[], message: string) {
    return this.#configuration.fault(['hosts', this.#key, ...path], message)
  }
}

function refuseDoubles(
  configuration: Configuration<ClusterText>,
  hosts: readonly ClusterHost[],
): void {
  for (const [key, what] of [
    ['macs', 'MAC address'],
    ['uuids', 'UUID'],
  ] as const) {
    const owners = new Map<string, string>()
    for (const host of hosts) {
      for (const value of host[key]) {
        const owner = owners.get(value)
        owners.set(value, host.name)
        if (owner === undefined) continue
        const message = `${what} ${value} belongs to both ${owner} and ${host.name}`
        throw configuration.fault(['hosts', host.entry, key.slice(0, -1)], message)
      }
    }
  }
}
