// si-cluster as people call it, on the example that the documentation shows.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { parse } from 'yaml'

const root = join(import.meta.dirname, '../..')
const example = join(root, 'examples/cluster.yaml')

const si = (...args: readonly string[]) =>
  spawnSync(join(root, 'src/cli/si'), ['cluster', ...args], {
    encoding: 'utf8',
    env: { ...process.env, SI_CLUSTER: example },
    timeout: 60_000,
  })

test('si cluster check reads the example', () => {
  const { status, stdout, stderr } = si('check')
  assert.equal(status, 0, stderr)
  assert.match(stdout, /cluster\.yaml: 129 hosts, 3 groups, no fault/)
})

test('si cluster check names images that the repository lacks', (t) => {
  const repository = mkdtempSync(join(tmpdir(), 'si-repository-'))
  t.after(() => rmSync(repository, { recursive: true }))
  const { status, stderr } = si('check', '--repository', repository)
  assert.equal(status, 0)
  assert.match(
    stderr,
    /has no golden01, override-all, override-compute, golden01-gpu: hosts cannot/,
  )
})

test('si cluster override says which folder is missing', (t) => {
  const repository = mkdtempSync(join(tmpdir(), 'si-repository-'))
  t.after(() => rmSync(repository, { recursive: true }))
  const { status, stderr } = si('override', 'compute', '--repository', repository)
  assert.equal(status, 1)
  assert.match(
    stderr,
    /There is no folder .*overrides\/compute to make an override of\nhint: Make it/,
  )
})

test('si cluster import says that a file is no XML', () => {
  const { status, stderr } = si('import', example)
  assert.equal(status, 2)
  assert.match(stderr, /cluster\.yaml: line 1: this is no XML/)
})

test('si cluster show --json tells all that holds for a host', () => {
  const { stdout, stderr } = si('show', 'node100', '--json')
  const node = JSON.parse(stdout) as Record<string, unknown>
  assert.equal(stderr, '')
  assert.equal(node['image'], 'golden01-gpu')
  assert.deepEqual(node['groups'], ['gpu', 'everything', 'compute'])
  assert.deepEqual(node['parameters'], { partition: 'batch' })
})

test('si cluster show takes groups and ranges', () => {
  const hostsOf = (text: string) =>
    si('show', text)
      .stdout.split('\n')
      .slice(1, -1)
      .map((line) => line.split(' ')[0])
  assert.deepEqual(hostsOf('node[001-003/2],login'), ['node001', 'node003', 'login'])
  assert.equal(hostsOf('@gpu').length, 32)
})

test('si cluster show says which host there is not', () => {
  const { status, stderr } = si('show', 'node999')
  assert.equal(status, 10)
  assert.match(stderr, /^error: No host of .*cluster\.yaml is node999\nhint: /)
})

test('nodeset reads what si cluster export --format clustershell writes', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'si-groups-'))
  t.after(() => rmSync(folder, { recursive: true }))
  writeFileSync(join(folder, 'groups.yaml'), si('export', '--format', 'clustershell').stdout)
  const configuration = `[Main]\ndefault: swarmimager\nautodir: ${folder}\n`
  writeFileSync(join(folder, 'groups.conf'), configuration)
  const nodeset = (...args: readonly string[]) => {
    const how = ['--groupsconf', join(folder, 'groups.conf')]
    const result = spawnSync('nodeset', [...how, ...args], { encoding: 'utf8', timeout: 60_000 })
    assert.equal(result.status, 0, result.stderr)
    return result.stdout.trim()
  }
  assert.equal(nodeset('-f', '@everything'), 'login,node[001-128]')
  assert.equal(nodeset('-c', '@gpu'), '32')
})

test('si cluster export --format ansible puts hosts into groups, with their address and parameters', () => {
  interface Group {
    readonly hosts?: Record<string, Record<string, unknown> | null>
    readonly children?: Record<string, Group | null>
  }
  const { all } = parse(si('export', '--format', 'ansible').stdout) as { readonly all: Group }
  assert.deepEqual(all.hosts?.['node013'], {
    ansible_host: '10.1.0.13',
    si_image: 'golden01',
    si_param_partition: 'batch',
    si_param_rack: 'r07',
  })
  const { everything, gpu } = all.children ?? {}
  assert.deepEqual(everything, { hosts: { login: null }, children: { compute: null } })
  assert.equal(Object.keys(gpu?.hosts ?? {}).length, 32)
})

test('si cluster check reads what si cluster import wrote', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'si-import-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const xml = '<xml><override>all</override><group><name>g</name><node>n1-n3</node></group></xml>'
  writeFileSync(join(folder, 'cluster.xml'), xml)
  const imported = si('import', join(folder, 'cluster.xml'))
  assert.equal(imported.status, 0)
  assert.match(imported.stderr, /add the mac of each host/)
  const file = join(folder, 'cluster.yaml')
  writeFileSync(file, `${imported.stdout}\n`.replace('defaults:', 'defaults:\n  image: web'))
  const { status, stdout, stderr } = si('check', '--cluster', file)
  assert.equal(status, 0, stderr)
  assert.match(stdout, /3 hosts, 1 group,/)
  assert.match(stderr, /no mac and no uuid: n\[1-3\]/)
})

test('si netboot chooses for hosts, and cluster.yaml decides again after default', (t) => {
  const repository = mkdtempSync(join(tmpdir(), 'si-netboot-'))
  t.after(() => rmSync(repository, { recursive: true }))
  const netboot = (...args: readonly string[]) =>
    spawnSync(join(root, 'src/cli/si'), ['netboot', ...args], {
      encoding: 'utf8',
      env: { ...process.env, SI_CLUSTER: example, SI_REPOSITORY: repository },
      timeout: 60_000,
    })
  const bootOf = (host: string) =>
    (JSON.parse(netboot(host, '--json').stdout) as { readonly boot: string }).boot
  assert.equal(bootOf('node001'), 'local')
  const { status, stdout } = netboot('node[001-002]', 'install')
  assert.equal(status, 0)
  assert.match(stdout, /^node001 +install +- +-\nnode002 +install/m)
  assert.equal(netboot('node001', 'default').status, 0)
  assert.equal(bootOf('node001'), 'local')
  assert.equal(bootOf('node002'), 'install')
  assert.equal(netboot('node001', 'instal').status, 2)
  assert.equal(netboot('node999', 'local').status, 10)
})

test('CLUSTER.md shows the example as it is', () => {
  const text = readFileSync(join(root, 'src/cluster/CLUSTER.md'), 'utf8')
  const body = readFileSync(example, 'utf8').split('\n').slice(3).join('\n').trim()
  assert.ok(text.includes(body), 'the example in CLUSTER.md is not that of examples/cluster.yaml')
})
