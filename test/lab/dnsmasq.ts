// dnsmasq on a host of the lab's network, as DHCP server.
import { join } from 'node:path'
import type { LabProgram } from './lab-program.ts'
import type { NetworkHost } from './network.ts'
import { startOnHost } from './program-on-host.ts'
import { type Scope, waitFor } from './scope.ts'

const START_DEADLINE_MS = 10_000

export interface DnsmasqStart {
  /** Path of its configuration; none when left out. */
  readonly configuration?: string
  readonly args?: readonly string[]
}

/** Settles once it answers. */
export async function startDnsmasq(
  scope: Scope,
  host: NetworkHost,
  { configuration = '/dev/null', args = [] }: DnsmasqStart,
): Promise<LabProgram> {
  const leases = join(scope.directory, `${host.name}-leases`)
  const program = startOnHost(scope, host, {
    program: 'dnsmasq',
    args: [
      ...['--no-daemon', '--user=root', '--pid-file=', '--no-ping', `--conf-file=${configuration}`],
      ...[`--dhcp-leasefile=${leases}`, ...args],
    ],
  })
  await waitFor(`dnsmasq on ${host.name}`, async () => program.lastWords().includes('started'), {
    deadlineMs: START_DEADLINE_MS,
    signal: scope.signal,
  })
  return program
}

export interface PlainDhcp {
  /** Addresses to give out. */
  readonly first: string
  readonly last: string
  readonly args?: readonly string[]
}

/** A DHCP server that gives addresses and knows nothing of network boot. */
export function startPlainDhcp(
  scope: Scope,
  host: NetworkHost,
  { first, last, args = [] }: PlainDhcp,
): Promise<LabProgram> {
  const range = ['--port=0', `--dhcp-range=${first},${last},255.255.255.0`]
  return startDnsmasq(scope, host, { args: [...range, ...args] })
}
