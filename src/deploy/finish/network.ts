// The network of the target, in the words of whatever program the image configures it with. Invariant: the golden client's
// own files go only where they name its MAC or its addresses; all others stay.
import { SiError } from '../../core/core.ts'
import type { NetworkProgram } from './image-features.ts'
import type { NetworkConfiguration, NetworkInterface } from './network-configuration.ts'
import { formatInterfaces, isIfupdownOfOneMachine } from './ifupdown.ts'
import { formatKeyfile, isKeyfileOfOneMachine } from './network-manager.ts'
import { formatNetworkFile, isNetworkFileOfOneMachine } from './systemd-networkd.ts'
import type { TargetTree } from './target-tree.ts'

export async function setNetwork(
  tree: TargetTree,
  network: NetworkConfiguration,
  program: NetworkProgram,
): Promise<void> {
  switch (program) {
    case 'ifupdown':
      await setIfupdown(tree, network)
      return
    case 'systemd-networkd':
      await replaceFiles(tree, network, NETWORKD)
      return
    case 'NetworkManager':
      await replaceFiles(tree, network, NETWORK_MANAGER)
      return
    default:
      program satisfies never
  }
}

interface FileFormat {
  readonly folder: string
  readonly suffix: string
  readonly prefix: string
  /** NetworkManager ignores files that others can read. */
  readonly mode: number
  readonly format: (card: NetworkInterface, id: string) => string
  readonly isOfOneMachine: (text: string) => boolean
}

const NETWORKD: FileFormat = {
  ...{ folder: 'etc/systemd/network', suffix: '.network', mode: 0o644 },
  prefix: '05-', // the first file that matches counts
  format: formatNetworkFile,
  isOfOneMachine: isNetworkFileOfOneMachine,
}

const NETWORK_MANAGER: FileFormat = {
  ...{ folder: 'etc/NetworkManager/system-connections', suffix: '.nmconnection', mode: 0o600 },
  prefix: '',
  format: formatKeyfile,
  isOfOneMachine: isKeyfileOfOneMachine,
}

async function replaceFiles(
  tree: TargetTree,
  { interfaces }: NetworkConfiguration,
  how: FileFormat,
): Promise<void> {
  const { folder, suffix, prefix, mode, format, isOfOneMachine } = how
  for (const name of await tree.list(folder)) {
    const path = `${folder}/${name}`
    if (isOfOneMachine((await tree.read(path)) ?? '')) await tree.remove(path)
  }
  for (const card of interfaces) {
    const id = cardId(card)
    await tree.write(`${folder}/${prefix}${id}${suffix}`, format(card, id), { mode })
  }
}

async function setIfupdown(tree: TargetTree, network: NetworkConfiguration): Promise<void> {
  const folder = 'etc/network/interfaces.d'
  for (const name of await tree.list(folder)) {
    const text = (await tree.read(`${folder}/${name}`)) ?? ''
    if (isIfupdownOfOneMachine(text, network)) await tree.remove(`${folder}/${name}`)
  }
  await tree.write('etc/network/interfaces', formatInterfaces(network, cardId))
  const isManaged = ['sbin/resolvconf', 'usr/sbin/resolvconf'].some((path) => tree.exists(path))
  const resolver = formatResolvConf(network)
  if (!isManaged && resolver !== '') await writeResolvConf(tree, resolver)
}

/** A symlink there leads to what a program writes at run time, which would not be ours. */
async function writeResolvConf(tree: TargetTree, text: string): Promise<void> {
  if (tree.locate('etc/resolv.conf') !== `${tree.root}/etc/resolv.conf`) {
    await tree.remove('etc/resolv.conf')
  }
  await tree.write('etc/resolv.conf', text)
}

/** resolv.conf(5); empty when the configuration names no server. */
function formatResolvConf({ interfaces }: NetworkConfiguration): string {
  const servers = new Set(interfaces.flatMap(({ nameServers }) => nameServers))
  const domains = new Set(interfaces.flatMap(({ searchDomains }) => searchDomains))
  if (servers.size === 0) return ''
  const search = domains.size === 0 ? [] : [`search ${[...domains].join(' ')}`]
  return [...search, ...[...servers].map((server) => `nameserver ${server}`), ''].join('\n')
}

/** A name for files and connections: the card's own, or one made from its MAC address. */
function cardId({ name, mac }: NetworkInterface): string {
  if (name !== undefined) return name
  if (mac !== undefined) return `mac${mac.replaceAll(':', '')}`
  throw new SiError('ERR_SI_USAGE', 'A network interface needs a name or a MAC address')
}
