// Configuration of dnsmasq (dnsmasq(8)): DHCP or proxyDHCP, and TFTP for the firmware's loader. Firmware gets iPXE for its
// kind (RFC 4578, option 93), iPXE gets our first script. Invariant: beside another DHCP server no address is given out.
import { isIPv4 } from 'node:net'
import { SiError } from '../core/core.ts'

/** Files of the TFTP folder. */
export const LOADERS = { bios: 'undionly.kpxe', uefi: 'snponly.efi' } as const
export const FIRST_SCRIPT = 'boot.ipxe'

export interface DnsmasqOptions {
  readonly tftpDirectory: string
  /** null: proxyDHCP, beside the DHCP server that the network has. */
  readonly range: DhcpRange | null
  /** An address of the network that is served: where TFTP answers. */
  readonly address: string
  readonly router: string | undefined
  readonly nameServers: readonly string[]
}

export interface DhcpRange {
  readonly first: string
  readonly last: string
  readonly netmask: string
}

/** `10.0.0.100-10.0.0.200/24` */
export function parseDhcpRange(text: string): DhcpRange {
  const [, first = '', last = '', bits = ''] = /^([\d.]+)-([\d.]+)\/(\d{1,2})$/.exec(text) ?? []
  const prefixLength = Number(bits)
  if (isIPv4(first) && isIPv4(last) && prefixLength >= 8 && prefixLength <= 30) {
    const netmask = formatIp(2 ** 32 - 2 ** (32 - prefixLength))
    if (network(first, netmask) === network(last, netmask) && number(first) <= number(last)) {
      return { first, last, netmask }
    }
  }
  throw new SiError('ERR_SI_USAGE', `Cannot read ${JSON.stringify(text)} as a range of addresses`, {
    hint: 'Write FIRST-LAST/PREFIX within one network, such as 10.0.0.100-10.0.0.200/24',
  })
}

export function formatDnsmasq(options: DnsmasqOptions): string {
  const { range, address, router, nameServers } = options
  const head =
    range === null
      ? '# proxyDHCP: the addresses come from the DHCP server that this network has already.'
      : '# DHCP and network boot, for a network that has no other DHCP server.'
  const lines = [
    head,
    '# Start: dnsmasq --no-daemon --conf-file=THIS_FILE (or put it into /etc/dnsmasq.d)',
    'port=0', // no DNS
    `listen-address=${address}`,
    'bind-dynamic',
    ...(range === null
      ? [`dhcp-range=${address},proxy`]
      : [`dhcp-range=${range.first},${range.last},${range.netmask},1h`, 'dhcp-authoritative']),
    ...(router === undefined ? [] : [`dhcp-option=option:router,${router}`]),
    ...(nameServers.length === 0 ? [] : [`dhcp-option=option:dns-server,${nameServers.join(',')}`]),
    'enable-tftp',
    `tftp-root=${options.tftpDirectory}`,
    ...bootLines(options),
    'log-dhcp',
  ]
  return `${lines.join('\n')}\n`
}

/** iPXE gets our script, whatever it was started by; the firmware gets iPXE. */
function bootLines({ range, address }: DnsmasqOptions): string[] {
  return [
    'dhcp-match=set:ipxe,175', // iPXE says so itself
    ...(range === null ? proxyLines() : loaderLines()),
    // With the address twice: another DHCP server may name itself as the one to fetch from, and iPXE heeds no proxy that
    // names a file and no server.
    `dhcp-boot=tag:ipxe,tftp://${address}/${FIRST_SCRIPT},,${address}`,
  ]
}

/** By the numbers of RFC 4578. Firmware of other kinds is told nothing: it could not run what we have. */
const loaderLines = () => [
  'dhcp-match=set:bios,option:client-arch,0',
  'dhcp-match=set:uefi,option:client-arch,7',
  'dhcp-match=set:uefi,option:client-arch,9',
  `dhcp-boot=tag:!ipxe,tag:bios,${LOADERS.bios}`,
  `dhcp-boot=tag:!ipxe,tag:uefi,${LOADERS.uefi}`,
]

/** A proxy has no file name to give: it names itself as the boot server, and says there which file is to be fetched. */
const proxyLines = () => [
  `pxe-service=tag:!ipxe,x86PC,"SwarmImager",${LOADERS.bios}`,
  ...['X86-64_EFI', 'BC_EFI'].map(
    (name) => `pxe-service=tag:!ipxe,${name},"SwarmImager",${LOADERS.uefi}`,
  ),
]

const number = (ip: string) => ip.split('.').reduce((sum, part) => 256 * sum + Number(part), 0)
const network = (ip: string, mask: string) => (number(ip) & number(mask)) >>> 0
const formatIp = (value: number) =>
  [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join('.')
