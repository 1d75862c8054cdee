// One network interface as a connection of NetworkManager; pure. Spec: nm-settings-keyfile(5).
import { isIPv4 } from 'node:net'
import type { NetworkInterface } from './network-configuration.ts'
import { stableUuid } from './stable-uuid.ts'

export function formatKeyfile(card: NetworkInterface, id: string): string {
  const { name, mac } = card
  return [
    '[connection]',
    `id=${id}`,
    `uuid=${stableUuid(id)}`,
    'type=ethernet',
    ...(name === undefined ? [] : [`interface-name=${name}`]),
    '',
    '[ethernet]',
    ...(mac === undefined ? [] : [`mac-address=${mac.toUpperCase()}`]),
    '',
    ...formatFamily('ipv4', card, isIPv4),
    ...formatFamily('ipv6', card, (address) => !isIPv4(address)),
  ].join('\n')
}

function formatFamily(
  section: 'ipv4' | 'ipv6',
  { addresses, gateway, nameServers, searchDomains }: NetworkInterface,
  isOurs: (address: string) => boolean,
): readonly string[] {
  const own = addresses === 'dhcp' ? [] : addresses.filter((it) => isOurs(it.split('/')[0] ?? ''))
  const automatic = section === 'ipv4' && addresses !== 'dhcp' ? 'disabled' : 'auto'
  const servers = nameServers.filter(isOurs)
  const isUsed = addresses === 'dhcp' || own.length > 0
  const list = (key: string, values: readonly string[]) =>
    values.length === 0 || !isUsed ? [] : [`${key}=${values.map((value) => `${value};`).join('')}`]
  return [
    `[${section}]`,
    `method=${own.length > 0 ? 'manual' : automatic}`,
    ...own.map((address, index) => `address${index + 1}=${address}`),
    ...(gateway !== undefined && isOurs(gateway) && isUsed ? [`gateway=${gateway}`] : []),
    ...list('dns', servers),
    ...list('dns-search', searchDomains),
    '',
  ]
}

/** Wired connections with a MAC or an address of their own; VPNs, bridges and radio stay. */
export function isKeyfileOfOneMachine(text: string): boolean {
  if (!/^type=(802-3-)?ethernet$/m.test(text)) return false
  return /^(mac-address|address\d*|addresses\d*)=\S/m.test(text)
}
