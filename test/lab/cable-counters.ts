// What the cables of the lab's network have carried, by the kernel's own count at the bridge's end:
// behind the shaping of what a host sends, and behind the shaping of what it receives.
import { run } from '../../src/host/host.ts'
import { bridgeNamespace } from './network.ts'
import { type Scope } from './scope.ts'

/** Since the cable was made; Ethernet headers included, once for each segment the kernel handed on. */
export interface CableCounters {
  readonly sentBytes: number
  readonly receivedBytes: number
}

interface LinkStatistics {
  readonly ifname: string
  readonly stats64: {
    readonly rx: { readonly bytes: number }
    readonly tx: { readonly bytes: number }
  }
}

/** By host name, from the host's point of view. */
export async function readCables(scope: Scope): Promise<ReadonlyMap<string, CableCounters>> {
  const args = ['-n', bridgeNamespace(scope), '-s', '-j', 'link', 'show', 'type', 'veth']
  const { stdout } = await run('ip', args, { signal: scope.signal })
  const links = JSON.parse(stdout) as readonly LinkStatistics[]
  return new Map(
    links.map(({ ifname, stats64 }) => [
      ifname,
      { sentBytes: stats64.rx.bytes, receivedBytes: stats64.tx.bytes },
    ]),
  )
}
