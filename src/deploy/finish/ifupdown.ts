// The network as /etc/network/interfaces; pure. Spec: interfaces(5), "PATTERN MATCHING INTERFACES" for MAC addresses.
import { isIP, isIPv4 } from 'node:net'
import type { NetworkConfiguration, NetworkInterface } from './network-configuration.ts'

/** Replaces the whole file; other stanzas of the golden client live in interfaces.d. */
export function formatInterfaces(
  { interfaces }: NetworkConfiguration,
  cardId: (card: NetworkInterface) => string,
): string {
  const head = ['source /etc/network/interfaces.d/*', '', 'auto lo', 'iface lo inet loopback']
  return [...head, ...interfaces.flatMap((card) => formatCard(card, cardId(card))), ''].join('\n')
}

function formatCard(card: NetworkInterface, id: string): readonly string[] {
  const { mac, addresses, nameServers, searchDomains } = card
  // The logical name of a card that is found by its MAC address.
  const auto = mac === undefined ? `auto ${id}` : `auto mac/${mac}=${id}`
  const resolver = [
    ...(nameServers.length === 0 ? [] : [`    dns-nameservers ${nameServers.join(' ')}`]),
    ...(searchDomains.length === 0 ? [] : [`    dns-search ${searchDomains.join(' ')}`]),
  ]
  if (addresses === 'dhcp') return ['', auto, `iface ${id} inet dhcp`, ...resolver]
  const stanzas = addresses.flatMap((address, index) => {
    const isFour = isFamilyFour(address)
    const isFirst = addresses.findIndex((other) => isFamilyFour(other) === isFour) === index
    const hasGateway =
      isFirst && card.gateway !== undefined && isFamilyFour(card.gateway) === isFour
    const gateway = hasGateway ? [`    gateway ${card.gateway}`] : []
    const head = `iface ${id} ${isFour ? 'inet' : 'inet6'} static`
    return [head, `    address ${address}`, ...gateway, ...(index === 0 ? resolver : [])]
  })
  return ['', auto, ...stanzas]
}

function isFamilyFour(address: string): boolean {
  return isIPv4(address.split('/')[0] ?? '')
}

/** A stanza for a card that is configured now, or with a fixed address or MAC. */
export function isIfupdownOfOneMachine(
  text: string,
  { interfaces }: NetworkConfiguration,
): boolean {
  const names = new Set(interfaces.map(({ name }) => name))
  return text.split('\n').some((line) => {
    const [word = '', value = ''] = line.trim().split(/\s+/)
    if (word === 'iface') return names.has(value)
    if (word === 'hwaddress') return true
    return word === 'address' && isIP(value.split('/')[0] ?? '') !== 0
  })
}
