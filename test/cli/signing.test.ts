// The commands about signatures as an administrator meets them: once init, then signed without a flag.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { makeCertificates } from '../lab/certificates.ts'

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

/** A repository with web/1, signed, and web/2, unsigned; `call` runs a command on it with these keys. */
async function makeSignedSite(t: TestContext) {
  const folder = await makeFolder(t)
  const [pki, tree] = [join(folder, 'pki'), join(folder, 'tree')]
  await mkdir(tree)
  await writeFile(join(tree, 'file'), 'content')
  await makeCertificates(pki)
  const repository = join(folder, 'repository')
  const call = (...args: readonly string[]) => run(pki, ...args, '--repository', repository)
  const capture = ['getimage', '--root', tree, '--name', 'web', '--image-version']
  for (const version of [['1'], ['2', '--no-sign']]) {
    const { status, stderr } = call(...capture, ...version)
    assert.equal(status, 0, stderr)
  }
  const without = ['--pki', join(folder, 'nothing')]
  return { folder, images: join(repository, 'images'), pki, call, without }
}

async function flipLastByte(path: string): Promise<void> {
  const bytes = await readFile(path)
  bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1
  await writeFile(path, bytes)
}

test('si-lsimage names the signer, and says what is unverified or invalid', { skip }, async (t) => {
  const { images, call, without } = await makeSignedSite(t)
  const signers = (...args: readonly string[]) =>
    call('lsimage', ...args)
      .stdout.split('\n')
      .slice(1, -1)
      .map((line) => / \d\d:\d\d +\S+ +(.*?) +[0-9a-f]{40}$/.exec(line)?.[1])
  assert.deepEqual(signers(), ['server', 'unsigned'])
  assert.deepEqual(signers(...without), ['server (unverified)', 'unsigned'])
  await flipLastByte(join(images, 'web/1/manifest.sig'))
  assert.deepEqual(signers(...without), ['server (INVALID)', 'unsigned'])
  const { status, stdout, stderr } = call('lsimage', 'web/1', '--json')
  assert.equal(status, 0)
  assert.match(stderr, /web\/1 is not trusted: the signature does not fit the manifest/)
  const row = JSON.parse(stdout) as Record<string, unknown>
  assert.deepEqual([row['signedBy'], row['signature']], ['server', 'invalid'])
  assert.match(String(row['signatureFault']), /does not fit/)
})

test(
  'si-verifyimage ends with 13 for a bad signature, with 12 for damaged data',
  { skip },
  async (t) => {
    const { images, pki, call, without } = await makeSignedSite(t)
    const good = call('verifyimage', 'web/1')
    assert.equal(good.status, 0, good.stderr)
    assert.match(good.stdout, /^web\/1: sound, signed by server \(/)
    const unsigned = call('verifyimage', '--all')
    assert.equal(unsigned.status, 13)
    assert.match(unsigned.stdout, /^web\/1: sound, signed .*\nweb\/2: sound, NOT TRUSTED/)
    assert.match(
      unsigned.stderr,
      /Cannot trust image web\/2: it is not signed\nhint: .*--allow-unsigned/,
    )
    assert.equal(call('verifyimage', '--all', '--allow-unsigned').status, 0)
    assert.equal(call('verifyimage', 'web/1', ...without).status, 13)
    await rename(join(images, 'web/1'), join(images, 'web/3'))
    const renamed = call('verifyimage', 'web/3')
    assert.equal(renamed.status, 13)
    assert.match(renamed.stderr, /Cannot trust image web\/3: it was signed as web\/1/)
    await rename(join(images, 'web/3'), join(images, 'web/1'))
    run(pki, 'ca', 'revoke', 'signer/server')
    const revoked = call('verifyimage', 'web/1', '--crl', join(pki, 'ca/crl.pem'))
    assert.equal(revoked.status, 13, revoked.stderr)
    assert.match(revoked.stderr, /was revoked on/)
    await flipLastByte(join(images, 'web/1/image.tar.zst'))
    const damaged = call('verifyimage', 'web/1', '--json', ...without)
    assert.equal(damaged.status, 12)
    const { isSound, isTrusted } = JSON.parse(
      damaged.stdout.split('\n').findLast((line) => line.includes('"report"')) ?? '',
    ) as Record<string, unknown>
    assert.deepEqual([isSound, isTrusted], [false, false])
  },
)

test(
  'si-cpimage signs a copy anew, but nothing whose own signature is missing or bad',
  { skip },
  async (t) => {
    const { images, call, without } = await makeSignedSite(t)
    const copied = call('cpimage', 'web/1', 'shop')
    assert.equal(copied.status, 0, copied.stderr)
    assert.doesNotMatch(copied.stderr, /signed/)
    assert.equal(call('verifyimage', 'shop/1').status, 0)
    const unsigned = call('cpimage', 'web/2', 'shop')
    assert.match(unsigned.stderr, /shop\/2 is not signed: the original is not\n/)
    const alone = call('cpimage', 'web/1', 'web/3', ...without)
    assert.match(
      alone.stderr,
      /web\/3 is not signed: it has a new name and no signer: si-server init/,
    )
    await flipLastByte(join(images, 'web/1/manifest.sig'))
    const refused = call('mvimage', 'web', 'other')
    assert.equal(refused.status, 13)
    assert.match(
      refused.stderr,
      /Cannot sign a copy: Cannot trust image web\/1: .*\nhint: .*--no-sign/,
    )
    await assert.rejects(stat(join(images, 'other')))
    const unsaid = call('cpimage', 'web/1', 'other', '--no-sign')
    assert.match(unsaid.stderr, /other\/1 is not signed: it has a new name\n/)
    await assert.rejects(stat(join(images, 'other/1/manifest.sig')))
  },
)

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
