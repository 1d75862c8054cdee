// The Vagrantfile: Vagrant reads it, and what it says of the nodes is what cluster.yaml beside it says. The machines
// themselves need a hypervisor; the scripts that make them are POSIX sh, which shellcheck reads (test/unit/lab).
import assert from 'node:assert/strict'
import { cp, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { loadCluster, resolveNode } from '../../src/cluster/cluster.ts'
import { run } from '../../src/host/host.ts'

const root = join(import.meta.dirname, '../..')

test('vagrant validate accepts the Vagrantfile', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'si-vagrant-'))
  try {
    // Vagrant writes beside the file, and a key is made there.
    await cp(join(root, 'Vagrantfile'), join(directory, 'Vagrantfile'))
    await mkdir(join(directory, 'examples'))
    await cp(join(root, 'examples/vagrant'), join(directory, 'examples/vagrant'), {
      recursive: true,
    })
    const env = { VAGRANT_HOME: join(directory, 'home'), VAGRANT_CHECKPOINT_DISABLE: '1' }
    const args = ['validate', '--ignore-provider']
    const { stdout } = await run('vagrant', args, { cwd: directory, env })
    assert.match(stdout, /Vagrantfile validated successfully/)
    const machines = [...stdout.matchAll(/^==> (\w+):/gm)].map(([, name]) => name)
    assert.deepEqual(machines, ['golden01', 'server', 'node01', 'node02', 'node03'])
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
})

test('the nodes of the Vagrantfile are those of its cluster.yaml', async () => {
  const text = await readFile(join(root, 'Vagrantfile'), 'utf8')
  const nodes = [...text.matchAll(/'(node\d+)' => \{ mac: '(\w{12})', address: '([\d.]+)'/g)]
  assert.equal(nodes.length, 3)
  const cluster = await loadCluster(join(root, 'examples/vagrant/cluster.yaml'))
  for (const [, name = '', digits = '', address = ''] of nodes) {
    const mac = digits.match(/../g)?.join(':') ?? ''
    const { host, network } = resolveNode(cluster, { macs: [mac] })
    assert.equal(host, name)
    assert.deepEqual(network?.interfaces[0]?.addresses, [`${address}/24`])
  }
})
