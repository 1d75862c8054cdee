// A site where machines install themselves over the network: a Debian that boots by BIOS and by UEFI as image, an
// override, a layout, boot files, cluster.yaml; si-server and dnsmasq on the host `server` of the lab's network.
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { run } from '../../src/host/host.ts'
import { bootableTree } from './bootable-image.ts'
import { makeCertificates } from '../lab/certificates.ts'
import type { Network, VirtualHost } from '../lab/network.ts'
import { startDnsmasq, startPlainDhcp } from '../lab/dnsmasq.ts'
import { startOnHost, waitForHttp } from '../lab/program-on-host.ts'
import type { Scope } from '../lab/scope.ts'

const SI = join(import.meta.dirname, '../../src/cli/si')
export const ISSUE = 'Laid over by the cluster'

/** A disk that both kinds of firmware boot from. */
const LAYOUT = `disks:
  - name: vda
    partitions:
      - { number: 1, size: 1MiB, type: bios-boot }
      - { number: 2, size: 64MiB, type: efi, format: vfat, mount: /boot/efi }
      - { number: 3, size: rest, format: ext4, label: root, mount: / }
`

export interface SiteOptions {
  /** Holds all files of the site. */
  readonly directory: string
  /** Has the host `server`, and for `proxy` the host `router`. */
  readonly network: Network
  readonly nodes: readonly VirtualHost[]
  /** What cluster.yaml says; `install` when left out. */
  readonly boot?: 'install' | 'local'
  /** `proxy`: the router's gives the addresses, ours says what to boot. `full`, ours alone, when left out. */
  readonly dhcp?: 'full' | 'proxy' | 'none'
  /** Further kernel parameters. */
  readonly parameters?: string
  /** Further flags of si-mkautoinstall. */
  readonly media?: readonly string[]
}

const serverUrl = ({ network }: SiteOptions) => `http://${network('server').address}:8080`

/** Captures the image and makes what machines boot; takes two minutes. */
export async function prepareSite(scope: Scope, options: SiteOptions): Promise<void> {
  const { directory, nodes, dhcp = 'full', media = [] } = options
  const below = (name: string) => join(directory, name)
  const repository = ['--repository', below('repository')]
  const pki = await makeCertificates(below('pki'))
  const si = (...args: string[]) =>
    run(SI, [...args, ...repository, ...pki], { signal: scope.signal })
  const tree = await bootableTree(scope)
  await si('getimage', '--root', tree, '--name', 'golden', '--level', '1')
  await mkdir(below('site/etc'), { recursive: true })
  await writeFile(below('site/etc/issue'), `${ISSUE}\n`)
  await si('cluster', 'override', 'site', below('site'))
  await writeFile(below('layout.yaml'), LAYOUT)
  await writeFile(below('cluster.yaml'), clusterText(options))
  const addresses = nodes.map(({ address }) => address)
  const range = dhcp !== 'full' ? [] : ['--dhcp', `${addresses.at(0)}-${addresses.at(-1)}/24`]
  const words = ['console=ttyS0 mitigations=off no_timer_check', options.parameters ?? '']
  const parameters = ['--parameters', words.join(' ')]
  const how = [
    ...range,
    ...media,
    ...parameters,
    '--compression-level',
    '3',
    '--server',
    serverUrl(options),
  ]
  await si('mkautoinstall', 'golden', '--boot', below('boot'), ...how)
}

function clusterText({ nodes, boot = 'install' }: SiteOptions): string {
  const hosts = nodes.map(({ name, mac }) => `  ${name}:\n    mac: ${mac}\n    boot: ${boot}\n`)
  return `defaults:
  image: golden
  layout: layout.yaml
  overrides: site
hosts:
${hosts.join('')}`
}

/** Starts si-server, and dnsmasq with what si-mkautoinstall wrote for it. */
export async function serveSite(scope: Scope, options: SiteOptions): Promise<void> {
  const { directory, network, nodes, dhcp = 'full' } = options
  const below = (name: string) => join(directory, name)
  const server = network('server')
  const places = { repository: 'repository', pki: 'pki', boot: 'boot', nodes: 'nodes' }
  const flags = Object.entries(places).flatMap(([flag, name]) => [`--${flag}`, below(name)])
  const args = ['server', ...flags, '--cluster', below('cluster.yaml')]
  const started = startOnHost(scope, server, { program: SI, args })
  await waitForHttp(scope, server, `${serverUrl(options)}/health`, started)
  if (dhcp === 'none') return
  const isProxy = dhcp === 'proxy'
  const addresses = nodes.map(({ mac, address }) => `--dhcp-host=${mac},${address}`)
  const configuration = below('boot/dnsmasq.conf')
  await startDnsmasq(scope, server, { configuration, args: isProxy ? [] : addresses })
  if (!isProxy) return
  const [first, last] = [nodes.at(0)?.address ?? '', nodes.at(-1)?.address ?? '']
  await startPlainDhcp(scope, network('router'), { first, last, args: addresses })
}
