// What machines that boot into si-autoinstall find: an image server with its authority, images, boot files and cluster.yaml,
// and a DHCP server, each started when a test wants it. Machines get kernel and initramfs from QEMU, which takes
// 20 seconds in place of the minute that firmware and iPXE need; the way through those is e2e/lab.test.ts.
import { mkdir, readFile, truncate, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { run } from '../../src/host/host.ts'
import { makeCertificates } from '../lab/certificates.ts'
import { guestSystem } from '../lab/guest-system.ts'
import { type LabProgram } from '../lab/lab-program.ts'
import { mountDevice } from '../lab/loop-disk.ts'
import { createNetwork, type Network, type VirtualHost } from '../lab/network.ts'
import { startOnHost, waitForHttp } from '../lab/program-on-host.ts'
import { startMachine, type Machine, type MachineOptions } from '../lab/qemu-machine.ts'
import { type Scope } from '../lab/scope.ts'

export const SI = join(import.meta.dirname, '../../src/cli/si')
const HTTP_PORT = 8080
/** What shortens the start under emulation, and shows everything on the serial line. */
const FAST = 'console=ttyS0 mitigations=off no_timer_check'

export interface BootSiteOptions {
  readonly machines: readonly string[]
  /** Text of cluster.yaml, told the cables of the machines. */
  readonly cluster: (network: Network) => string
  /** Files beside it. */
  readonly files?: Readonly<Record<string, string>>
  /** local.cfg of the initramfs. */
  readonly localConfiguration?: string
  /** Fills the tree of the image `data`, which is no system and so is installed within seconds. */
  readonly fillData?: (tree: string) => Promise<void>
}

export interface BootSite {
  readonly network: Network
  readonly url: string
  /** The folder of everything; `below('nodes')` is what the server keeps of nodes. */
  below(name: string): string
  si(...args: string[]): Promise<{ readonly stdout: string }>
  startServer(httpPort?: number, ...args: string[]): Promise<LabProgram>
  startDhcp(): LabProgram
  /** Boots a machine into the installation, with these parameters besides the usual. */
  boot(name: string, options: MachineBoot): Promise<Machine>
  /** As GET /v1/nodes/NAME answers, also by TLS. */
  nodeOf(name: string): Promise<NodeStatus>
}

export interface NodeStatus {
  readonly boot: string
  readonly report: {
    readonly phase: string
    readonly error?: string
    readonly hint?: string
  } | null
}

export interface MachineBoot extends Pick<MachineOptions, 'disks' | 'clock'> {
  readonly parameters: string
  /** In place of the usual URL of the image server. */
  readonly server?: string
  /** Its address comes from DHCP; otherwise the kernel's parameters name it. */
  readonly isByDhcp?: boolean
}

/** Takes half a minute. */
export async function createBootSite(scope: Scope, options: BootSiteOptions): Promise<BootSite> {
  const { machines, cluster, files = {} } = options
  const network = await createNetwork(scope, { hosts: ['server'], virtualHosts: machines })
  const below = (name: string) => join(scope.directory, name)
  const server = network('server')
  const url = `http://${server.address}:${HTTP_PORT}`
  const pki = await makeCertificates(below('pki'))
  const repository = ['--repository', below('repository'), ...pki]
  const si = (...args: string[]) => run(SI, [...args, ...repository], { signal: scope.signal })
  await makeKernelTree(scope, below('kernel'))
  await si('getimage', '--root', below('kernel'), '--name', 'kernel', '--level', '1')
  await mkdir(below('data/files'), { recursive: true })
  await writeFile(below('data/files/hello'), 'hello\n')
  await options.fillData?.(below('data'))
  await si('getimage', '--root', below('data'), '--name', 'data', '--level', '1')
  const boot = ['--boot', below('boot')]
  await writeFile(below('local.cfg'), options.localConfiguration ?? '')
  const how = ['--compression-level', '3', '--local-cfg', below('local.cfg')]
  await si('mkautoinstall', 'kernel', ...boot, ...how, '--server', url)
  for (const [name, text] of Object.entries(files)) await writeFile(below(name), text)
  await writeFile(below('cluster.yaml'), cluster(network))
  const site: Omit<BootSite, 'boot'> = {
    ...{ network, url, below, si },
    async startServer(httpPort = HTTP_PORT, ...more) {
      const places = [...boot, '--cluster', below('cluster.yaml'), '--nodes', below('nodes')]
      const args = ['server', ...repository, ...places, '--http-port', `${httpPort}`, ...more]
      const started = startOnHost(scope, server, { program: SI, args })
      await waitForHttp(scope, server, `http://${server.address}:${httpPort}/ca.pem`, started)
      return started
    },
    startDhcp: () => startDhcp(scope, network, machines.map(network.virtual)),
    nodeOf: (name) => askForNode(network, below('pki'), name),
  }
  return { ...site, boot: (name, how) => bootMachine(scope, { site, name, ...how }) }
}

/** A server with TLS refuses the first question, and takes its own certificate for the second. */
async function askForNode(network: Network, pki: string, name: string): Promise<NodeStatus> {
  const { namespace, address } = network('server')
  const ask = async (scheme: string, ...args: readonly string[]) => {
    const url = `${scheme}://${address}:${HTTP_PORT}/v1/nodes/${name}`
    return (await run('ip', ['netns', 'exec', namespace, 'curl', '-sS', ...args, url])).stdout
  }
  const own = ['--insecure', '--cert', join(pki, 'server.pem'), '--key', join(pki, 'server.key')]
  const plain = await ask('http')
  const text = plain.includes('write https://') ? await ask('https', ...own) : plain
  return JSON.parse(text) as NodeStatus
}

/** Kernel and modules of the system that tests in guests run in, and of a boot loader what looks like one for UEFI. */
async function makeKernelTree(scope: Scope, tree: string): Promise<void> {
  const { disk, kernel } = await guestSystem(scope, () => {})
  const system = join(scope.directory, 'guest-system')
  await mountDevice(scope, { device: disk, at: system, options: ['loop', 'ro', 'noload'] })
  const { stdout } = await run('ls', [join(system, 'usr/lib/modules')])
  const version = stdout.trim()
  const modules = join(tree, 'usr/lib/modules')
  await mkdir(modules, { recursive: true })
  await run('cp', ['-a', join(system, 'usr/lib/modules', version), modules])
  const others = { [`boot/vmlinuz-${version}`]: await readFile(kernel) }
  const grub = ['etc/hostname', 'usr/sbin/grub-install', 'usr/lib/grub/x86_64-efi/normal.mod']
  for (const name of grub) others[name] = Buffer.alloc(0)
  for (const [name, content] of Object.entries(others)) {
    await mkdir(dirname(join(tree, name)), { recursive: true })
    await writeFile(join(tree, name), content)
  }
}

function startDhcp(scope: Scope, network: Network, nodes: readonly VirtualHost[]): LabProgram {
  const hosts = nodes.map(({ mac, address }) => `--dhcp-host=${mac},${address}`)
  const last = nodes.at(-1)?.address ?? ''
  const range = [`--dhcp-range=${nodes[0]?.address ?? ''},${last},255.255.255.0,1h`]
  const files = [`--dhcp-leasefile=${join(scope.directory, 'leases')}`, '--pid-file=']
  const args = ['--no-daemon', '--conf-file=/dev/null', '--port=0', '--user=root', '--log-dhcp']
  const all = [...args, '--dhcp-authoritative', ...range, ...hosts, ...files]
  return startOnHost(scope, network('server'), { program: 'dnsmasq', args: all })
}

async function bootMachine(
  scope: Scope,
  {
    site,
    name,
    ...how
  }: MachineBoot & { readonly site: Omit<BootSite, 'boot'>; readonly name: string },
): Promise<Machine> {
  const cable = site.network.virtual(name)
  const address = how.isByDhcp === true ? '' : `si.ip=${cable.address}/24`
  const parameters = [FAST, `si.server=${how.server ?? site.url}`, address, how.parameters]
  return startMachine(scope, {
    ...{ name, network: cable, memoryMiB: 1536, disks: how.disks },
    ...(how.clock === undefined ? {} : { clock: how.clock }),
    kernel: {
      file: site.below('boot/kernel/vmlinuz'),
      initramfs: site.below('boot/kernel/initrd.img'),
      parameters: parameters.filter(Boolean).join(' '),
    },
  })
}

/** A disk of zeros. */
export async function emptyDisk(scope: Scope, name: string, sizeBytes: number): Promise<string> {
  const file = join(scope.directory, `${name}.disk`)
  await writeFile(file, '')
  await truncate(file, sizeBytes)
  return file
}
