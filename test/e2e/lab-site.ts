// The site of the lab: a golden machine, an image server with DHCP and TFTP, and machines with empty disks, on a network of their
// own. All that a person would type is typed here; what is on the server lies in one folder.
import { mkdir, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import * as lab from '../lab/lab.ts'

export const SI = join(import.meta.dirname, '../../src/cli/si')
export const OVERRIDE_TEXT = 'Laid over by the cluster'
export const SCRIPT_OUTPUT = 'The licence server does not answer'
/** Post-install scripts: one that leaves a mark, one that fails. */
const MARK = '#!/bin/sh\nset -eu\nprintf "%s %s\\n" "$SI_HOST_NAME" "$SI_FIRMWARE" >/etc/marked\n'
const FAIL = `#!/bin/sh\necho "${SCRIPT_OUTPUT}" >&2\nexit 7\n`
export const KERNEL_PARAMETERS = 'console=ttyS0 mitigations=off no_timer_check'
const MIB = 2 ** 20

export interface LabNode {
  readonly name: string
  readonly firmware: 'bios' | 'uefi'
  readonly diskBytes: number
}

/** One disk is smaller than the golden machine's, the other larger. */
export const NODES: readonly LabNode[] = [
  { name: 'node01', firmware: 'bios', diskBytes: 1200 * MIB },
  { name: 'node02', firmware: 'uefi', diskBytes: 2500 * MIB },
]

/** Machines that something happens to; they get an image of mere data. */
export const FAULTY = ['unplugged', 'dying', 'scripted'] as const

export interface LabSite {
  readonly scope: lab.Scope
  readonly network: lab.Network
  readonly server: lab.NetworkHost
  readonly url: string
  readonly say: (text: string) => void
  /** A file or folder of the image server. */
  readonly below: (name: string) => string
  /** Runs a command of ours on the image server; its standard output. */
  readonly si: (command: string, ...args: string[]) => Promise<string>
}

export async function createSite(scope: lab.Scope, say: (text: string) => void): Promise<LabSite> {
  const virtualHosts = ['golden01', ...NODES.map(({ name }) => name), ...FAULTY]
  const network = await lab.createNetwork(scope, { hosts: ['server'], virtualHosts })
  const server = network('server')
  const directory = join(scope.directory, 'site')
  await mkdir(directory)
  const below = (name: string) => join(directory, name)
  await lab.makeCertificates(below('pki'))
  const places = ['--repository', below('repository'), '--pki', below('pki')]
  return {
    ...{ scope, network, server, say, below, url: `http://${server.address}:8080` },
    si: (command, ...args) =>
      lab.runOnHost(scope, server, { program: SI, args: [command, ...args, ...places] }),
  }
}

/** What a person prepares besides the image: an override, cluster.yaml, boot files. */
export async function prepareInstallation(site: LabSite): Promise<void> {
  const { below, si, network, url } = site
  await mkdir(below('files/etc'), { recursive: true })
  await writeFile(below('files/etc/issue'), `${OVERRIDE_TEXT}\n`)
  await si('cluster', 'override', 'site', below('files'))
  await writeFile(below('mark.sh'), MARK)
  await writeFile(below('fail.sh'), FAIL)
  await writeFile(below('cluster.yaml'), clusterText(site))
  const hosts = NODES.map(({ name }) => network.virtual(name))
  const addresses = hosts.map(({ address }) => address)
  const range = ['--dhcp', `${addresses.at(0)}-${addresses.at(-1)}/24`]
  const boot = ['--boot', below('boot'), '--server', url, '--parameters', KERNEL_PARAMETERS]
  await site.si('mkautoinstall', 'golden01', ...boot, ...range, '--compression-level', '3')
}

function clusterText({ network }: LabSite): string {
  const entries = [...NODES.map(({ name }) => name), ...FAULTY].map((name) => {
    const { mac, address } = network.virtual(name)
    return `  ${name}:
    mac: ${mac}
    boot: install
    network:
      boot: { addresses: ${address}/24 }
`
  })
  return `groups:
  machines:
    hosts: node[01-02]
    image: golden01
    overrides: site
    postInstall: mark.sh
  faulty:
    hosts: [${FAULTY.join(', ')}]
    image: data
    layout: data.yaml
    afterInstall: poweroff
  disobedient:
    hosts: scripted
    postInstall: fail.sh
hosts:
${entries.join('')}`
}

/** Starts si-server, and dnsmasq with what si-mkautoinstall wrote for it. */
export async function serve(site: LabSite): Promise<void> {
  const { scope, server, below, url } = site
  const places = { repository: 'repository', pki: 'pki', boot: 'boot', nodes: 'nodes' }
  const flags = Object.entries(places).flatMap(([flag, name]) => [`--${flag}`, below(name)])
  const args = ['server', ...flags, '--cluster', below('cluster.yaml')]
  const started = lab.startOnHost(scope, server, { program: SI, args })
  await lab.waitForHttp(scope, server, `${url}/health`, started)
  const files = [`--conf-file=${below('boot/dnsmasq.conf')}`, `--dhcp-leasefile=${below('leases')}`]
  const hosts = NODES.map(({ name }) => site.network.virtual(name))
  const fixed = hosts.map(({ mac, address }) => `--dhcp-host=${mac},${address}`)
  const how = ['--no-daemon', '--user=root', '--pid-file=', ...files, ...fixed]
  lab.startOnHost(scope, server, { program: 'dnsmasq', args: how })
}

/** What si-server's API tells of a node. */
export async function askServer<T>({ scope, server, url }: LabSite, path: string): Promise<T> {
  const args = ['--silent', '--show-error', '--fail', `${url}${path}`]
  return JSON.parse(await lab.runOnHost(scope, server, { program: 'curl', args })) as T
}

/** A disk without anything on it. */
export async function makeEmptyDisk(
  { scope }: LabSite,
  disk: { readonly name: string; readonly sizeBytes: number },
): Promise<lab.MachineDisk> {
  const file = join(scope.directory, `${disk.name}.disk`)
  await writeFile(file, '')
  await truncate(file, disk.sizeBytes)
  return { file, bus: 'virtio', serial: disk.name }
}
