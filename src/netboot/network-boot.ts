// What a network needs so that its machines boot into iPXE and ask si-server: TFTP folder and configuration of dnsmasq.
import { lookup } from 'node:dns/promises'
import { copyFile, mkdir, writeFile } from 'node:fs/promises'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import { errnoOf, messageOf, SiError } from '../core/core.ts'
import { FIRST_SCRIPT, formatDnsmasq, LOADERS, type DhcpRange } from './dnsmasq.ts'
import { firstScript } from './ipxe-script.ts'

export interface NetworkBootOptions {
  readonly bootDirectory: string
  /** URL of si-server, as machines reach it; undefined: this machine's only address, port 8080. */
  readonly server: string | undefined
  /** null: another DHCP server gives the addresses. */
  readonly range: DhcpRange | null
  readonly router: string | undefined
  readonly nameServers: readonly string[]
}

export interface NetworkBoot {
  readonly server: string
  /** Path of dnsmasq's configuration. */
  readonly configuration: string
}

/** Where Debian's package ipxe has them. */
const IPXE = '/usr/lib/ipxe'

/** Throws ERR_SI_USAGE, ERR_SI_PROGRAM_MISSING. */
export async function writeNetworkBoot(options: NetworkBootOptions): Promise<NetworkBoot> {
  const { bootDirectory, range, router, nameServers } = options
  const server = (options.server ?? `http://${ownAddress()}:8080`).replace(/\/+$/, '')
  const tftpDirectory = join(bootDirectory, 'tftp')
  await mkdir(tftpDirectory, { recursive: true })
  for (const loader of Object.values(LOADERS)) await copyLoader(loader, tftpDirectory)
  await writeFile(join(tftpDirectory, FIRST_SCRIPT), firstScript(server))
  const address = await addressOf(server)
  const configuration = join(bootDirectory, 'dnsmasq.conf')
  await writeFile(
    configuration,
    formatDnsmasq({ tftpDirectory, range, address, router, nameServers }),
  )
  return { server, configuration }
}

async function copyLoader(name: string, directory: string): Promise<void> {
  try {
    await copyFile(join(IPXE, name), join(directory, name))
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error
    throw new SiError('ERR_SI_PROGRAM_MISSING', `iPXE is not installed: no ${IPXE}/${name}`, {
      hint: 'Install it: apt-get install ipxe',
    })
  }
}

function ownAddress(): string {
  const all = Object.values(networkInterfaces()).flatMap((found) => found ?? [])
  const addresses = all.filter(({ family, internal }) => family === 'IPv4' && !internal)
  const [first, ...others] = addresses.map(({ address }) => address)
  if (first !== undefined && others.length === 0) return first
  const found = first === undefined ? 'none' : [first, ...others].join(', ')
  throw new SiError(
    'ERR_SI_USAGE',
    `Which address do machines reach si-server by? Here are ${found}`,
    {
      hint: 'Say it: --server http://10.0.0.1:8080',
    },
  )
}

async function addressOf(server: string): Promise<string> {
  try {
    return (await lookup(new URL(server).hostname, 4)).address
  } catch (error) {
    throw new SiError('ERR_SI_USAGE', `Cannot find the address of ${server}: ${messageOf(error)}`, {
      hint: 'Give a URL with an IPv4 address, such as --server http://10.0.0.1:8080',
      cause: error,
    })
  }
}
