// A network of its own: hosts are network namespaces whose cables end in a bridge that lives in one
// more namespace, so that nothing is added to the machine's own network. Virtual hosts are taps on
// that bridge, for virtual machines. Each host finds the others, and the virtual ones, by name
// (/etc/netns/NAME/hosts, see ip-netns(8)). Addresses are 10.77.0.0/24.
import { mkdir, rm, rmdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { run } from '../../src/host/host.ts'
import { type Scope } from './scope.ts'

export interface NetworkHost {
  readonly name: string
  readonly address: string
  readonly namespace: string
}

/** A cable for a virtual machine. Its address is what others are told; the machine must take it. */
export interface VirtualHost extends NetworkHost {
  readonly mac: string
}

export interface NetworkOptions {
  readonly hosts: readonly string[]
  /** Names of virtual hosts, at most 15 characters each. */
  readonly virtualHosts?: readonly string[]
  /** What each host's cable carries in each direction; unshaped when left out. */
  readonly bitsPerSecond?: number | undefined
}

/** The host of this name. */
export interface Network {
  (name: string): NetworkHost
  readonly virtual: (name: string) => VirtualHost
}

/** Last part of the first virtual host's address. */
const FIRST_VIRTUAL = 101
/** What a cable may carry at once above its rate; tbf needs at least rate / HZ. */
const BURST_BYTES = 256 * 1024
/** How long a byte waits for its turn at most before it is dropped. */
const QUEUE_MS = 50

export async function createNetwork(scope: Scope, options: NetworkOptions): Promise<Network> {
  const hosts = options.hosts.map((name, index) => ({
    name,
    address: `10.77.0.${index + 1}`,
    namespace: `${scope.id}-${name}`,
  }))
  const bridge = bridgeNamespace(scope)
  const virtualHosts = (options.virtualHosts ?? []).map((name, index) => ({
    name,
    address: `10.77.0.${FIRST_VIRTUAL + index}`,
    namespace: bridge,
    mac: `52:54:00:77:00:${(FIRST_VIRTUAL + index).toString(16)}`,
  }))
  await addNamespace(scope, bridge)
  await ip(scope, '-n', bridge, 'link', 'add', 'name', 'br0', 'up', 'type', 'bridge')
  for (const host of hosts) {
    await writeHostsFile(scope, host.namespace, [...hosts, ...virtualHosts])
    await addNamespace(scope, host.namespace)
    await connect(scope, bridge, host)
    if (options.bitsPerSecond === undefined) continue
    await shape(scope, host.namespace, 'eth0', options.bitsPerSecond)
    await shape(scope, bridge, host.name, options.bitsPerSecond)
  }
  for (const { name } of virtualHosts) {
    await ip(scope, '-n', bridge, 'tuntap', 'add', 'dev', name, 'mode', 'tap')
    await ip(scope, '-n', bridge, 'link', 'set', 'dev', name, 'master', 'br0', 'up')
  }
  return Object.assign((name: string) => findHost(hosts, name), {
    virtual: (name: string) => findHost(virtualHosts, name),
  })
}

function findHost<T extends NetworkHost>(hosts: readonly T[], name: string): T {
  const host = hosts.find((host) => host.name === name)
  if (host === undefined) throw new Error(`The network has no host "${name}"`)
  return host
}

/** The namespace of the bridge; the far end of each host's cable is there, under the host's name. */
export function bridgeNamespace(scope: Scope): string {
  return `${scope.id}-bridge`
}

/** Program and arguments that run `program` on this host; the process is the program's own. */
export function onHost(
  host: NetworkHost,
  program: string,
  args: readonly string[],
): [program: string, args: string[]] {
  return ['ip', ['netns', 'exec', host.namespace, program, ...args]]
}

/** As `onHost`, but among this machine's own mounts: what is mounted there is seen by all. Knows no names of hosts. */
export function onCableOf(
  host: NetworkHost,
  program: string,
  args: readonly string[],
): [program: string, args: string[]] {
  return ['nsenter', [`--net=/run/netns/${host.namespace}`, program, ...args]]
}

async function addNamespace(scope: Scope, name: string): Promise<void> {
  scope.defer(`network namespace ${name}`, async () => {
    const { stdout } = await run('ip', ['netns', 'list'])
    if (stdout.split('\n').some((line) => line.split(' ')[0] === name)) {
      await run('ip', ['netns', 'delete', name])
    }
  })
  await ip(scope, 'netns', 'add', name)
  await ip(scope, '-n', name, 'link', 'set', 'lo', 'up')
}

async function connect(scope: Scope, bridge: string, host: NetworkHost): Promise<void> {
  const far = ['peer', 'name', 'eth0', 'netns', host.namespace]
  await ip(scope, '-n', bridge, 'link', 'add', 'name', host.name, 'type', 'veth', ...far)
  await ip(scope, '-n', bridge, 'link', 'set', 'dev', host.name, 'master', 'br0', 'up')
  await ip(scope, '-n', host.namespace, 'address', 'add', `${host.address}/24`, 'dev', 'eth0')
  await ip(scope, '-n', host.namespace, 'link', 'set', 'eth0', 'up')
}

async function shape(
  scope: Scope,
  namespace: string,
  device: string,
  bitsPerSecond: number,
): Promise<void> {
  const bucket = ['rate', `${bitsPerSecond}bit`, 'burst', `${BURST_BYTES}`]
  const args = ['qdisc', 'add', 'dev', device, 'root', 'tbf', ...bucket, 'latency', `${QUEUE_MS}ms`]
  await run('tc', ['-n', namespace, ...args], { signal: scope.signal })
}

async function writeHostsFile(
  scope: Scope,
  namespace: string,
  hosts: readonly NetworkHost[],
): Promise<void> {
  const directory = join('/etc/netns', namespace)
  scope.defer(directory, async () => {
    await rm(directory, { recursive: true, force: true })
    await rmdir('/etc/netns').catch(() => {}) // stays while another run uses it
  })
  await mkdir(directory, { recursive: true })
  const lines = hosts.map(({ address, name }) => `${address} ${name}\n`)
  await writeFile(join(directory, 'hosts'), `127.0.0.1 localhost\n${lines.join('')}`)
}

async function ip(scope: Scope, ...args: string[]): Promise<void> {
  await run('ip', args, { signal: scope.signal })
}
