// The proof of a network boot: a virtual machine with an empty disk finds dnsmasq by its firmware, iPXE, si-server, and the
// initramfs, installs itself with an override over the image, reboots, is told to start its disk, and comes up
// under its own name. Needs root; about five minutes without hardware assistance.
import assert from 'node:assert/strict'
import { mkdir, readFile, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { run } from '../../src/host/host.ts'
import { makeCertificates } from '../lab/certificates.ts'
import { createNetwork, type Network, type VirtualHost } from '../lab/network.ts'
import { startOnHost, waitForHttp } from '../lab/program-on-host.ts'
import { startMachine } from '../lab/qemu-machine.ts'
import { withScope, type Scope } from '../lab/scope.ts'
import { bootableTree } from './bootable-image.ts'

const skip = process.geteuid?.() === 0 ? false : 'needs root'
const MIB = 2 ** 20
const SI = join(import.meta.dirname, '../../src/cli/si')
const STEP_DEADLINE_MS = 8 * 60_000
const ISSUE = 'Laid over by the cluster'

const LAYOUT = `disks:
  - name: vda
    partitions:
      - { number: 1, size: 1MiB, type: bios-boot }
      - { number: 2, size: rest, format: ext4, label: root, mount: / }
`

const clusterText = ({ name, mac }: VirtualHost) => `defaults:
  image: golden
  layout: layout.yaml
  overrides: site
hosts:
  ${name}:
    mac: ${mac}
    boot: install
`

test(
  'a machine installs itself from the network and then boots from its disk',
  { skip },
  async () => {
    await withScope(async (scope) => {
      const network = await createNetwork(scope, { hosts: ['server'], virtualHosts: ['node07'] })
      const node = network.virtual('node07')
      await prepareServer(scope, network, node)
      const file = join(scope.directory, 'target.disk')
      await writeFile(file, '')
      await truncate(file, 3000 * MIB)
      const machine = await startMachine(scope, {
        ...{ name: node.name, network: node, bootFirst: 'network', memoryMiB: 2048 },
        disks: [{ file, bus: 'virtio', serial: 'target' }],
      })
      for (const pattern of [
        /si: installing http/,
        /si: golden\/\S+ is installed/,
        /node07 login:/,
      ]) {
        await machine.console.waitFor(pattern, STEP_DEADLINE_MS)
      }
      const text = await machine.console.text()
      assert.equal(text.split('si: installing http').length, 2, 'it installed itself once')
      assert.ok(text.includes(ISSUE), 'the override lies over the image')
      const report = await readFile(join(scope.directory, 'nodes/node07/report.json'), 'utf8')
      assert.equal((JSON.parse(report) as { phase: string }).phase, 'done')
      await machine.cutPower()
    })
  },
)

/** Image, override, boot files and cluster.yaml; si-server and dnsmasq serve them. */
async function prepareServer(scope: Scope, network: Network, node: VirtualHost): Promise<void> {
  const below = (name: string) => join(scope.directory, name)
  const server = network('server')
  const url = `http://${server.address}:8080`
  const pki = await makeCertificates(below('pki'))
  const repository = ['--repository', below('repository'), ...pki]
  const si = (...args: string[]) => run(SI, args, { signal: scope.signal })
  const tree = await bootableTree(scope)
  await si('getimage', '--root', tree, '--name', 'golden', '--level', '1', ...repository)
  await mkdir(below('site/etc'), { recursive: true })
  await writeFile(below('site/etc/issue'), `${ISSUE}\n`)
  await si('cluster', 'override', 'site', below('site'), ...repository)
  await writeFile(below('layout.yaml'), LAYOUT)
  await writeFile(below('cluster.yaml'), clusterText(node))
  const boot = ['--boot', below('boot')]
  const range = ['--dhcp', `${node.address}-${node.address}/24`]
  const parameters = ['--parameters', 'console=ttyS0 mitigations=off no_timer_check']
  const fast = ['--compression-level', '3']
  const how = [...repository, ...boot, ...range, ...parameters, ...fast, '--server', url]
  await si('mkautoinstall', 'golden', ...how)
  const places = [...boot, '--cluster', below('cluster.yaml'), '--nodes', below('nodes')]
  const args = ['server', ...repository, ...places]
  const started = startOnHost(scope, server, { program: SI, args })
  await waitForHttp(scope, server, `${url}/health`, started)
  const leases = `--dhcp-leasefile=${below('leases')}`
  const dnsmasq = [
    '--no-daemon',
    `--conf-file=${below('boot/dnsmasq.conf')}`,
    leases,
    '--pid-file=',
  ]
  startOnHost(scope, server, { program: 'dnsmasq', args: [...dnsmasq, '--user=root'] })
}
