// One network interface as a .network file; pure. Spec: systemd.network(5).
import type { NetworkInterface } from './network-configuration.ts'

export function formatNetworkFile(card: NetworkInterface): string {
  const { name, mac, addresses, gateway, nameServers, searchDomains } = card
  const match = [
    ...(mac === undefined ? [] : [`MACAddress=${mac}`]),
    ...(name === undefined ? [] : [`Name=${name}`]),
  ]
  const network = [
    ...(addresses === 'dhcp' ? ['DHCP=yes'] : addresses.map((address) => `Address=${address}`)),
    ...(gateway === undefined ? [] : [`Gateway=${gateway}`]),
    ...nameServers.map((server) => `DNS=${server}`),
    ...(searchDomains.length === 0 ? [] : [`Domains=${searchDomains.join(' ')}`]),
  ]
  return ['[Match]', ...match, '', '[Network]', ...network, ''].join('\n')
}

/** Files for bridges and the like name neither; they stay. */
export function isNetworkFileOfOneMachine(text: string): boolean {
  return /^\s*(PermanentMACAddress|MACAddress|Address)\s*=\s*\S/m.test(text)
}
