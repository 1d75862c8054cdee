import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { loadCluster, nodeConfigurationSchema, resolveNode } from '../../../src/cluster/cluster.ts'
import { isSiError, SiError } from '../../../src/core/core.ts'

const LAYOUT = `# disk.yaml
disks:
  - name: sda
    partitions: [{ number: 1, size: rest, format: ext4, mount: / }]
`

let folder = ''
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cluster-'))
  for (const name of ['a.sh', 'b.sh', 'c.sh']) await writeFile(join(folder, name), `# ${name}\n`)
  await writeFile(join(folder, 'disk.yaml'), LAYOUT)
  await writeFile(join(folder, 'dos.sh'), '#!/bin/sh\r\n')
})
after(() => rm(folder, { recursive: true }))

async function load(text: string) {
  const file = join(folder, 'cluster.yaml')
  await writeFile(file, text)
  return loadCluster(file)
}

async function faultOf(text: string): Promise<string> {
  const error = await load(text).then(
    () => assert.fail('it was accepted'),
    (thrown: unknown) => thrown,
  )
  assert.ok(isSiError(error, 'ERR_SI_CONFIGURATION'), String(error))
  return error.message.replace(/.*cluster\.yaml: /, '')
}

const LEVELS = `
defaults:
  image: base
  boot: install
  overrides: all
  preInstall: a.sh
  parameters: { a: global, b: global, c: global, d: global }
images:
  base: { overrides: base, preInstall: b.sh, parameters: { b: image, c: image, d: image } }
groups:
  inner: { hosts: n1, overrides: inner, parameters: { d: inner }, layout: disk.yaml }
  outer: { groups: inner, overrides: outer, parameters: { c: group, d: outer }, postInstall: b.sh, preInstall: c.sh }
hosts:
  n1: { overrides: [own, all], parameters: { d: host }, onScriptFailure: shell, preInstall: a.sh }
  n2: { image: other/7 }
`

test('resolveNode() lays settings over each other: global, image, groups from the outer, host', async () => {
  const node = resolveNode(await load(LEVELS), { name: 'n1' })
  assert.deepEqual(node.parameters, { a: 'global', b: 'image', c: 'group', d: 'host' })
  assert.deepEqual(node.groups, ['outer', 'inner'])
  assert.deepEqual(
    node.overrides,
    ['base', 'outer', 'inner', 'own', 'all'].map((name) => `override-${name}`),
  )
  const preInstall = ['b.sh', 'c.sh', 'a.sh'] // what two levels name is done once, in the later place
  assert.deepEqual(
    node.preInstall,
    preInstall.map((name) => ({ name, text: `# ${name}\n` })),
  )
  assert.deepEqual(node.postInstall, [{ name: 'b.sh', text: '# b.sh\n' }])
  assert.equal(node.layout, LAYOUT)
  assert.equal(node.onScriptFailure, 'shell')
  assert.equal(node.scriptTimeLimitMs, 15 * 60_000)
  assert.equal(node.boot, 'install')
  assert.deepEqual(nodeConfigurationSchema.parse(node), node)
})

test('resolveNode() takes away what came before an empty list', async () => {
  const text = LEVELS.replace('overrides: inner', 'overrides: []')
  const node = resolveNode(await load(text), { name: 'n1' })
  assert.deepEqual(node.overrides, ['override-own', 'override-all'])
})

test('loadCluster() names the line of a faulty layout file', async (t) => {
  await writeFile(join(folder, 'disk.yaml'), LAYOUT.replace('format', 'fromat'))
  t.after(() => writeFile(join(folder, 'disk.yaml'), LAYOUT))
  await assert.rejects(load(LEVELS), /disk\.yaml: line 4: .*did you mean "format"/)
})

test('resolveNode() leaves out what is said of another image', async () => {
  const node = resolveNode(await load(LEVELS), { name: 'N2' })
  assert.equal(node.image, 'other/7')
  assert.deepEqual(node.overrides, ['override-all'])
})

test('resolveNode() boots locally unless the file says otherwise', async () => {
  const node = resolveNode(await load('hosts: { a: { image: x } }'), { name: 'a' })
  assert.equal(node.boot, 'local')
})

const ADDRESSES = `
defaults:
  image: x
  network: { boot: { gateway: 10.0.0.254 }, ib0: { addresses: dhcp } }
hosts:
  n[01-03]:
    mac: 52-54-00-00-00-[0f-11]
    uuid: 11111111-2222-3333-4444-00000000000[A,b,c]
    network: { boot: { addresses: ["10.0.0.[1-3]/24", "fd00::[0e-10]/64"] } }
`

test('resolveNode() gives the n-th host of a range the n-th of its addresses', async () => {
  const cluster = await load(ADDRESSES)
  const node = resolveNode(cluster, { macs: ['52:54:00:00:00:10'] })
  assert.equal(node.host, 'n02')
  assert.deepEqual(node.network?.interfaces, [
    {
      mac: '52:54:00:00:00:10',
      addresses: ['10.0.0.2/24', 'fd00::0f/64'],
      gateway: '10.0.0.254',
      nameServers: [],
      searchDomains: [],
    },
    { name: 'ib0', addresses: 'dhcp', nameServers: [], searchDomains: [] },
  ])
})

test('resolveNode() finds a host by any of its addresses, its UUID or its name', async () => {
  const cluster = await load(ADDRESSES)
  const hostOf = (query: Parameters<typeof resolveNode>[1]) => resolveNode(cluster, query).host
  assert.equal(hostOf({ macs: ['aa:aa:aa:aa:aa:aa', '52-54-00-00-00-0F'] }), 'n01')
  assert.equal(hostOf({ uuid: '11111111-2222-3333-4444-00000000000C' }), 'n03')
  assert.equal(hostOf({ name: 'n01', macs: ['aa:aa:aa:aa:aa:aa'] }), 'n01')
})

test('resolveNode() refuses a machine whose addresses belong to two hosts', async () => {
  const cluster = await load(ADDRESSES)
  const macs = ['52:54:00:00:00:0f', '52:54:00:00:00:10']
  assert.throws(() => resolveNode(cluster, { macs }), /belong to both n01 and n02/)
})

test('resolveNode() says whom it does not know', async () => {
  const cluster = await load(ADDRESSES)
  assert.throws(() => resolveNode(cluster, { name: 'x', uuid: 'u' }), {
    code: 'ERR_SI_NODE_UNKNOWN',
    message: /No host of .*cluster\.yaml is x or u/,
  })
})

test('resolveNode() says whose image is missing, and where', async () => {
  const cluster = await load('hosts:\n  a:\n  b:\n')
  assert.throws(
    () => resolveNode(cluster, { name: 'b' }),
    (error: unknown) => {
      assert.ok(error instanceof SiError)
      assert.match(error.message, /line 3: b has no image/)
      return true
    },
  )
})

test('resolveNode() names an address that is none', async () => {
  const cluster = await load(
    'hosts:\n  a:\n    image: x\n    network:\n      eth0: { addresses: 10.0.0.5 }\n',
  )
  assert.throws(() => resolveNode(cluster, { name: 'a' }), /line 4: a: .*prefix length/)
})

for (const [what, text, fault] of [
  [
    'a MAC address of two hosts',
    'hosts:\n  a: { mac: "52:54:00:00:00:01" }\n  b:\n    mac: 52-54-00-00-00-01\n',
    /^line 4: MAC address 52:54:00:00:00:01 belongs to both a and b$/,
  ],
  [
    'fewer addresses than hosts',
    'hosts:\n  n[1-3]:\n    mac: 52:54:00:00:00:[01-02]\n',
    /^line 3: 2 values do not fit 3 hosts, n\[1-3\]$/,
  ],
  [
    'one address for several hosts',
    'hosts: { "n[1-2]": { mac: "52:54:00:00:00:01" } }',
    /1 values do not fit 2 hosts/,
  ],
  [
    'a word for a MAC address',
    'hosts:\n  a:\n    mac: eth0\n',
    /^line 3: "eth0" is no MAC address/,
  ],
  ['a name that is none', 'hosts:\n  a_b:\n', /^line 2: "a_b" is no name of a host/],
  [
    'a host that is only in a group',
    'groups:\n  g:\n    hosts: nod1\n',
    /^line 3: "nod1" is no host of this file/,
  ],
  [
    'a group that is in itself',
    'groups:\n  a: { groups: b }\n  b: { groups: a }\n',
    /^line 2: "a" is in itself/,
  ],
  [
    'a group that is not there',
    'groups:\n  a:\n    groups: [b]\n',
    /^line 3: there is no group "b"/,
  ],
  [
    'a script that is not there',
    'defaults:\n  postInstall: [a.sh, no.sh]\n',
    /^line 2: cannot read no.sh: ENOENT/,
  ],
  [
    'a misspelt key',
    'hosts:\n  a:\n    overides: x\n',
    /^line 3: unknown key "overides": did you mean "overrides"\?/,
  ],
  [
    'another word than the choices',
    'defaults:\n  boot: disk\n',
    /^line 2: boot: must be one of install, local/,
  ],
  [
    'a time limit that is none',
    'defaults:\n  scriptTimeLimit: soon\n',
    /^line 2: scriptTimeLimit: is no time: write 90s, 5m, 1h or forever/,
  ],
  [
    'a script of DOS',
    'hosts:\n  a:\n    preInstall: dos.sh\n',
    /^line 3: Cannot run script dos.sh: its lines end as those of DOS/,
  ],
  ['an image for an image', 'images:\n  a:\n    image: b\n', /^line 3: unknown key "image"/],
] as const) {
  test(`loadCluster() refuses ${what}`, async () => {
    assert.match(await faultOf(text), fault)
  })
}
