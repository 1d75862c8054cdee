// The commands about signatures as an administrator meets them: once init, then signed without a flag.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'

const launcher = join(import.meta.dirname, '../../src/cli/si')
const isRoot = process.getuid?.() === 0 || process.env['CI'] === 'true'
const skip = isRoot ? false : 'capture and deploy need root'

async function makeFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'si-signing-'))
  t.after(() => rm(folder, { recursive: true }))
  return folder
}

/** With SI_PKI, as a configuration file would have it. */
function run(pki: string, ...args: readonly string[]) {
  const env = { ...process.env, SI_PKI: pki, SI_CA: join(pki, 'ca') }
  return spawnSync(launcher, args, { encoding: 'utf8', env, timeout: 60_000 })
}

test('si-server init makes keys that are closed, and a second time changes nothing', async (t) => {
  const pki = join(await makeFolder(t), 'pki')
  const first = run(pki, 'server', 'init', '--dns', 'server.lab')
  assert.equal(first.status, 0, first.stderr)
  assert.match(first.stdout, /\/pki\/ca\.pem\nCN=SwarmImager CA of .*\nSHA-256 ([0-9A-F]{2}:){31}/)
  const modeOf = async (name: string) => (await stat(join(pki, name))).mode & 0o777
  for (const key of ['ca/ca.key', 'signer.key', 'server.key'])
    assert.equal(await modeOf(key), 0o600)
  assert.equal(await modeOf('ca'), 0o700)
  const before = await readFile(join(pki, 'signer.key'))
  const second = run(pki, 'server', 'init')
  assert.match(second.stderr, /all is there already/)
  assert.equal(second.stdout, first.stdout)
  assert.deepEqual(await readFile(join(pki, 'signer.key')), before)
  const listed = run(pki, 'ca', 'list', '--json').stdout.trim().split('\n')
  const roles = listed.map((line) => (JSON.parse(line) as { role: string }).role)
  assert.deepEqual(roles, ['signer', 'image-server'])
})

test('si-getimage signs after init; si-deploy says how to trust it', { skip }, async (t) => {
  const folder = await makeFolder(t)
  const [pki, tree, target] = ['pki', 'tree', 'target'].map((name) => join(folder, name)) as [
    ...[string, string, string],
  ]
  for (const path of [tree, target]) await mkdir(path)
  await writeFile(join(tree, 'file'), 'content')
  run(pki, 'server', 'init')
  const repository = ['--repository', join(folder, 'repository')]
  const where = ['--root', tree, '--name', 'web', ...repository]
  const captured = run(pki, 'getimage', ...where)
  assert.equal(captured.status, 0, captured.stderr)
  const directory = captured.stdout.trim().split(' ')[2] ?? ''
  assert.ok((await stat(join(directory, 'manifest.sig'))).size > 100)
  const seeded = run(join(folder, 'nothing'), 'seed', 'web', ...repository, '--for', '1s')
  assert.equal(seeded.status, 13)
  assert.match(
    seeded.stderr,
    /certified by CN=SwarmImager CA of .* no authority is trusted here yet/,
  )
  assert.match(seeded.stderr, /hint: .*--trust ca\.pem.*--allow-unsigned/)
  const unsigned = run(pki, 'getimage', ...where, '--image-version', '2', '--no-sign')
  assert.equal(unsigned.status, 0, unsigned.stderr)
  const torrent = join(unsigned.stdout.trim().split(' ')[2] ?? '', 'image.torrent')
  const deployed = run(pki, 'deploy', '--torrent', torrent, '--root', target)
  assert.equal(deployed.status, 13)
  assert.match(
    deployed.stderr,
    /Cannot trust image web-2: it is not signed\nhint: .*--allow-unsigned/,
  )
})
