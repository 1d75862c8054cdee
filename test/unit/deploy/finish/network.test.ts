import assert from 'node:assert/strict'
import { chmod, mkdir, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { networkSchema } from '../../../../src/deploy/deploy.ts'
import { formatHosts, parseHostName, setHostName } from '../../../../src/deploy/finish/host-name.ts'
import { renewIdentity } from '../../../../src/deploy/finish/machine-identity.ts'
import { setNetwork } from '../../../../src/deploy/finish/network.ts'
import { openTargetTree, type TargetTree } from '../../../../src/deploy/finish/target-tree.ts'

async function makeTree(t: TestContext, files: Record<string, string>): Promise<TargetTree> {
  const root = await mkdtemp(join(tmpdir(), 'si-finish-'))
  t.after(() => rm(root, { recursive: true }))
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(root, path)), { recursive: true })
    await writeFile(join(root, path), text)
  }
  return openTargetTree(root)
}

const MAC = '52:54:00:12:34:56'
const NETWORK = networkSchema.parse({
  interfaces: [
    {
      ...{ name: 'eth0', addresses: ['10.0.0.5/24', 'fd00::5/64'], gateway: '10.0.0.1' },
      ...{ nameServers: ['10.0.0.2', 'fd00::2'], searchDomains: ['cluster.example'] },
    },
    { mac: MAC, addresses: 'dhcp' },
  ],
})

test('setNetwork() writes systemd-networkd files and removes those of the golden client’s cards', async (t) => {
  const tree = await makeTree(t, {
    'etc/systemd/network/10-static.network': '[Match]\nName=eth0\n[Network]\nAddress=10.9.9.9/24\n',
    'etc/systemd/network/20-mac.network':
      '[Match]\nMACAddress=52:54:00:00:00:01\n[Network]\nDHCP=yes\n',
    'etc/systemd/network/30-bridge.network': '[Match]\nName=br0\n[Network]\nDHCP=yes\n',
  })
  await setNetwork(tree, NETWORK, 'systemd-networkd')
  assert.deepEqual(await tree.list('etc/systemd/network'), [
    ...['05-eth0.network', '05-mac525400123456.network', '30-bridge.network'],
  ])
  assert.equal(
    await tree.read('etc/systemd/network/05-eth0.network'),
    '[Match]\nName=eth0\n\n[Network]\nAddress=10.0.0.5/24\nAddress=fd00::5/64\nGateway=10.0.0.1\n' +
      'DNS=10.0.0.2\nDNS=fd00::2\nDomains=cluster.example\n',
  )
  assert.equal(
    await tree.read('etc/systemd/network/05-mac525400123456.network'),
    `[Match]\nMACAddress=${MAC}\n\n[Network]\nDHCP=yes\n`,
  )
})

test('setNetwork() writes ifupdown’s file and a resolv.conf in place of a link', async (t) => {
  const tree = await makeTree(t, {
    'etc/network/interfaces': 'auto eth0\niface eth0 inet dhcp\n',
    'etc/network/interfaces.d/eth0': 'iface eth0 inet dhcp\n',
    'etc/network/interfaces.d/old': 'iface eth7 inet static\n  address 10.9.9.9/24\n',
    'etc/network/interfaces.d/bridge': 'iface br0 inet dhcp\n  bridge_ports none\n',
  })
  await symlink('/run/resolv.conf', join(tree.root, 'etc/resolv.conf'))
  await setNetwork(tree, NETWORK, 'ifupdown')
  assert.deepEqual(await tree.list('etc/network/interfaces.d'), ['bridge'])
  assert.equal(
    await tree.read('etc/network/interfaces'),
    `source /etc/network/interfaces.d/*

auto lo
iface lo inet loopback

auto eth0
iface eth0 inet static
    address 10.0.0.5/24
    gateway 10.0.0.1
    dns-nameservers 10.0.0.2 fd00::2
    dns-search cluster.example
iface eth0 inet6 static
    address fd00::5/64

auto mac/${MAC}=mac525400123456
iface mac525400123456 inet dhcp
`,
  )
  assert.equal(
    await readFile(join(tree.root, 'etc/resolv.conf'), 'utf8'),
    'search cluster.example\nnameserver 10.0.0.2\nnameserver fd00::2\n',
  )
})

test('setNetwork() writes connections of NetworkManager that only root can read', async (t) => {
  const folder = 'etc/NetworkManager/system-connections'
  const tree = await makeTree(t, {
    [`${folder}/wired.nmconnection`]: '[connection]\ntype=ethernet\n[ipv4]\naddress1=10.9.9.9/24\n',
    [`${folder}/vpn.nmconnection`]: '[connection]\ntype=vpn\n[ipv4]\naddress1=10.8.0.2/24\n',
  })
  await setNetwork(tree, NETWORK, 'NetworkManager')
  assert.deepEqual(await tree.list(folder), [
    ...['eth0.nmconnection', 'mac525400123456.nmconnection', 'vpn.nmconnection'],
  ])
  const text = (await tree.read(`${folder}/eth0.nmconnection`)) ?? ''
  assert.match(text, /\nuuid=[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\n/)
  assert.match(
    text,
    /\[ipv4\]\nmethod=manual\naddress1=10.0.0.5\/24\ngateway=10.0.0.1\ndns=10.0.0.2;\n/,
  )
  assert.match(text, /\[ipv6\]\nmethod=manual\naddress1=fd00::5\/64\ndns=fd00::2;\n/)
  const { mode } = await stat(join(tree.root, folder, 'eth0.nmconnection'))
  assert.equal(mode & 0o777, 0o600)
})

test('parseHostName() takes names of machines and nothing that a file would misread', () => {
  assert.equal(parseHostName('Node01.Cluster.example'), 'node01.cluster.example')
  for (const bad of ['', '-a', 'a-', 'a_b', 'a b', 'a\nb', 'a..b', 'a.', 'x'.repeat(64)]) {
    assert.throws(() => parseHostName(bad), { code: 'ERR_SI_USAGE' }, JSON.stringify(bad))
  }
})

test('formatHosts() gives the machine its line and takes the golden client’s name away', () => {
  const golden =
    '127.0.0.1 localhost golden01\n127.0.1.1 golden01.lab golden01\n10.0.0.1 golden01\n'
  assert.equal(
    formatHosts(golden, 'node01.lab', 'golden01'),
    '127.0.0.1 localhost\n127.0.1.1 node01.lab node01\n10.0.0.1 golden01\n',
  )
  assert.equal(
    formatHosts('127.0.0.1 localhost\n::1 ip6-localhost\n', 'node01', 'golden01'),
    '127.0.0.1 localhost\n127.0.1.1 node01\n::1 ip6-localhost\n',
  )
})

test('setHostName() writes the short name and makes a hosts file where there is none', async (t) => {
  const tree = await makeTree(t, { 'etc/hostname': 'golden01\n' })
  await setHostName(tree, 'node01.lab')
  assert.equal(await tree.read('etc/hostname'), 'node01\n')
  assert.equal(await tree.read('etc/hosts'), '127.0.0.1 localhost\n127.0.1.1 node01.lab node01\n')
})

test('renewIdentity() leaves an empty machine id and nothing that belongs to the golden client', async (t) => {
  const tree = await makeTree(t, {
    'etc/machine-id': '0123456789abcdef0123456789abcdef\n',
    'var/lib/dbus/machine-id': '0123456789abcdef0123456789abcdef\n',
    'var/lib/systemd/random-seed': 'seed',
    'etc/udev/rules.d/70-persistent-net.rules': 'rule',
    'var/lib/dhcp/dhclient.eth0.leases': 'lease',
    'etc/network/interfaces': 'auto eth0\n',
  })
  await renewIdentity(tree)
  assert.equal(await tree.read('etc/machine-id'), '')
  assert.deepEqual(await tree.list('var/lib/dbus'), [])
  assert.deepEqual(await tree.list('var/lib/systemd'), [])
  assert.deepEqual(await tree.list('etc/udev/rules.d'), [])
  assert.deepEqual(await tree.list('var/lib/dhcp'), [])
  assert.equal(await tree.read('etc/network/interfaces'), 'auto eth0\n')
})

test('a target tree follows symlinks as a chroot does, and never out of it', async (t) => {
  const outside = await makeTree(t, { victim: 'safe' })
  const tree = await makeTree(t, { 'real/file': 'inside' })
  const link = (target: string, name: string) => symlink(target, join(tree.root, name))
  await link('/real', 'absolute')
  await link('../../../real/file', 'upward')
  await link(join(outside.root, 'victim'), 'escape')
  await link('loop', 'loop')
  assert.equal(await tree.read('absolute/file'), 'inside')
  assert.equal(await tree.read('upward'), 'inside')
  assert.equal(tree.exists('escape'), false)
  await tree.write('escape', 'written')
  assert.equal(await outside.read('victim'), 'safe')
  assert.equal(await tree.read(`${outside.root}/victim`), 'written')
  await tree.remove('upward')
  assert.equal(await tree.read('real/file'), 'inside')
  assert.throws(() => tree.exists('loop'), { code: 'ERR_SI_DEPLOY' })
})

test('a target tree keeps the mode of a file it writes, and leaves alone what is right', async (t) => {
  const tree = await makeTree(t, { file: 'old text' })
  const path = join(tree.root, 'file')
  await chmod(path, 0o640)
  await tree.write('file', 'new')
  assert.equal(await readFile(path, 'utf8'), 'new')
  const { mode, mtimeMs } = await stat(path)
  assert.equal(mode & 0o777, 0o640)
  await tree.write('file', 'new')
  assert.equal((await stat(path)).mtimeMs, mtimeMs)
})
