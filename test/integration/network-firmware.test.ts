// What firmware is told to boot, by dnsmasq with our configuration: as the only DHCP server, and as a proxy beside another that
// knows nothing of network boot. The clients are no machines, but speak as firmware does. Needs root.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { parseDhcpRange, writeNetworkBoot } from '../../src/netboot/netboot.ts'
import { startDnsmasq, startPlainDhcp } from '../lab/dnsmasq.ts'
import { createNetwork } from '../lab/network.ts'
import { runOnHost } from '../lab/program-on-host.ts'
import type { PxeFindings } from '../lab/pxe-client.ts'
import { withScope } from '../lab/scope.ts'

const skip = process.geteuid?.() === 0 ? false : 'needs root'
const CLIENT = join(import.meta.dirname, '../lab/pxe-client.ts')
const TFTP = '10.77.0.1'
const GIVEN = '10.77.0.150'

/** BIOS, UEFI for 32 bits, UEFI for 64 bits by both of its numbers, UEFI on arm64, and iPXE on BIOS and UEFI. */
const KINDS = ['0', '6', '7', '9', '11', '0-ipxe', '7-ipxe']
const SCRIPT = `tftp://${TFTP}/boot.ipxe`
const EXPECTED = [
  ...[`${TFTP}/undionly.kpxe`, null, `${TFTP}/snponly.efi`, `${TFTP}/snponly.efi`, null],
  ...[SCRIPT, SCRIPT],
]

for (const isProxy of [false, true]) {
  const role = isProxy ? 'as a proxy beside another DHCP server' : 'as the only DHCP server'
  test(`dnsmasq ${role} names each firmware its iPXE, and iPXE the script`, { skip }, async () => {
    await withScope(async (scope) => {
      const hosts = ['server', 'router', 'client']
      const network = await createNetwork(scope, { hosts })
      const { configuration } = await writeNetworkBoot({
        ...{ bootDirectory: scope.directory, server: `http://${TFTP}:8080` },
        ...{ router: undefined, nameServers: [] },
        range: isProxy ? null : parseDhcpRange(`${GIVEN}-${GIVEN}/24`),
      })
      await startDnsmasq(scope, network('server'), { configuration })
      if (isProxy) await startPlainDhcp(scope, network('router'), { first: GIVEN, last: GIVEN })
      const client = network('client')
      const way = ['route', 'add', '255.255.255.255/32', 'dev', 'eth0']
      await runOnHost(scope, client, { program: 'ip', args: way })
      const args = [CLIENT, isProxy ? '2' : '1', client.address, ...KINDS]
      const text = await runOnHost(scope, client, { program: process.execPath, args })
      const found = text
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as PxeFindings)
      assert.deepEqual(
        found.map(({ kind, boot }) => [kind, boot]),
        KINDS.map((kind, index) => [kind, EXPECTED[index]]),
      )
      const offers = new Set(found.map(({ offered }) => offered.join()))
      assert.deepEqual([...offers], [GIVEN], 'one address is given, by one server')
    })
  })
}
