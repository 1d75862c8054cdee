// Options of si-deploy about the machine that a deployed disk becomes.
import { Option } from 'commander'
import { SiError } from '../core/core.ts'
import type { FinishChoices, FirmwareChoice, NetworkConfiguration } from '../deploy/deploy.ts'

export interface FinishFlags {
  readonly hostName?: string
  readonly network?: string
  readonly firmware: FirmwareChoice
  readonly initramfs: FinishChoices['initramfs']
  readonly finish: boolean
}

const FIRMWARE: readonly FirmwareChoice[] = ['auto', 'bios', 'uefi', 'both', 'none']
const INITRAMFS: readonly FinishChoices['initramfs'][] = ['auto', 'always', 'never']

export const finishOptions = () => [
  new Option('--host-name <name>', "the machine's own name (default: the golden client's)").env(
    'SI_HOST_NAME',
  ),
  new Option(
    '--network <file>',
    '`dhcp` for all cards of this machine that have a link, or a YAML file (default: as the golden client)',
  ).env('SI_NETWORK'),
  new Option('--firmware <kind>', 'make the disk bootable by it; auto: as this machine boots')
    .choices(FIRMWARE)
    .default('auto')
    .env('SI_FIRMWARE'),
  new Option('--initramfs <when>', 'make it anew; auto: where that of the golden client cannot do')
    .choices(INITRAMFS)
    .default('auto'),
  new Option(
    '--no-finish',
    'leave the tree as it is in the image: no fstab, identity, boot loader',
  ),
]

/** Null: nothing is to be finished. Throws ERR_SI_USAGE, ERR_SI_CONFIGURATION. */
export async function finishFrom(flags: FinishFlags): Promise<FinishChoices | null> {
  const { firmware, initramfs, hostName, network } = flags
  if (!flags.finish) {
    if (hostName === undefined && network === undefined) return null
    throw new SiError('ERR_SI_USAGE', '--no-finish contradicts --host-name and --network', {
      hint: 'Leave out one of them',
    })
  }
  const { parseHostName } = await import('../deploy/deploy.ts')
  return {
    ...{ firmware, initramfs },
    hostName: hostName === undefined ? null : parseHostName(hostName),
    network: network === undefined ? null : await networkFrom(network),
  }
}

async function networkFrom(text: string): Promise<NetworkConfiguration> {
  if (text === 'dhcp') return await dhcpEverywhere()
  const { readConfiguration } = await import('../config/config.ts')
  const { networkSchema } = await import('../deploy/deploy.ts')
  return (await readConfiguration({ file: text, schema: networkSchema, scalars: 'text' })).value
}

async function dhcpEverywhere(): Promise<NetworkConfiguration> {
  const { readNetworkCards } = await import('../host/host.ts')
  const connected = (await readNetworkCards()).filter(({ isConnected }) => isConnected)
  if (connected.length === 0) {
    throw new SiError('ERR_SI_USAGE', '--network dhcp: no network card here has a link', {
      hint: 'Name a file that describes the network instead',
    })
  }
  const plain = { addresses: 'dhcp', nameServers: [], searchDomains: [] } as const
  return { interfaces: connected.map(({ mac }) => ({ mac, ...plain })) }
}
