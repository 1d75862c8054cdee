// What commands do when their output, their repository or their configuration is not as they wish.
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, open, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'

const launcher = join(import.meta.dirname, '../../src/cli/si')
const skip = process.getuid?.() === 0 || process.env['CI'] === 'true' ? false : 'needs root'

async function makeFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'si-outputs-'))
  t.after(() => rm(folder, { recursive: true }))
  return folder
}

function run(args: readonly string[], env: Record<string, string> = {}) {
  return spawnSync(launcher, args, {
    encoding: 'utf8',
    env: { ...process.env, ...env },
    timeout: 30_000,
  })
}

async function makeDamagedRepository(t: TestContext): Promise<string> {
  const repository = await makeFolder(t)
  const version = join(repository, 'images/web/1')
  await mkdir(version, { recursive: true })
  for (const part of ['image.tar.zst', 'manifest.jsonl.zst', 'image.torrent']) {
    await writeFile(join(version, part), 'damaged')
  }
  return repository
}

test(
  'si getimage leaves no draft when the reader of its JSON lines goes away',
  { skip },
  async (t) => {
    const repository = await makeFolder(t)
    const tree = await makeFolder(t)
    const file = await open(join(tree, 'random'), 'w')
    for (let i = 0; i < 16; i++) await file.write(crypto.getRandomValues(new Uint8Array(65536)))
    await file.close()
    const target = ['--root', tree, '--name', 'web', '--repository', repository]
    const child = spawn(launcher, ['getimage', ...target, '--json'])
    child.stdout.destroy() // before the first line: each write fails
    const [exitCode] = (await once(child, 'exit')) as [number]
    assert.equal(exitCode, 130)
    assert.deepEqual(
      (await readdir(join(repository, 'images/web')).catch(() => [])).filter(
        (name) => name !== '.lock',
      ),
      [],
    )
  },
)

test('si lsimage says why a result cannot be written, with exit status 1', { skip }, async (t) => {
  const full = await open('/dev/full', 'w')
  t.after(() => full.close())
  const child = spawnSync(launcher, ['--version'], { stdio: ['ignore', full.fd, 'pipe'] })
  assert.match(child.stderr.toString(), /^error: Cannot write the result: ENOSPC/)
  assert.equal(child.status, 1)
})

test('si lsimage lists the other images and ends with 3 when one is damaged', async (t) => {
  const { status, stderr, stdout } = run([
    'lsimage',
    '-r',
    await makeDamagedRepository(t),
    '--json',
  ])
  assert.match(stderr, /^si-lsimage: Cannot list \S*images\/web\/1: /)
  assert.equal(stdout, '')
  assert.equal(status, 3)
})

test('si getimage captures a new version beside a damaged one', { skip }, async (t) => {
  const repository = await makeDamagedRepository(t)
  const { status, stderr } = run([
    'getimage',
    '--root',
    await makeFolder(t),
    '--name',
    'web',
    '--repository',
    repository,
  ])
  assert.equal(status, 0, stderr)
})

test('si names a path that it cannot read in words, without a stack', async (t) => {
  const repository = await makeFolder(t)
  await symlink('images', join(repository, 'images')) // a loop: refused to root as well
  const { status, stderr } = run(['lsimage', '-r', repository])
  assert.match(stderr, /^error: Cannot \w+ \S*\/images: [a-z ]+\n(hint: .*\n)?$/)
  assert.equal(status, 1)
})

test('settings win in the order flag, environment, configuration file', async (t) => {
  const folder = await makeFolder(t)
  const file = join(folder, 'si.conf')
  await writeFile(file, `SI_REPOSITORY=${folder}/file\n`)
  const listed = (args: readonly string[], env: Record<string, string>) =>
    /no image in (\S+);/.exec(run(['lsimage', ...args], { SI_CONFIG: file, ...env }).stderr)?.[1]
  const env = { SI_REPOSITORY: `${folder}/environment` }
  assert.equal(listed([], {}), `${folder}/file`)
  assert.equal(listed([], env), `${folder}/environment`)
  assert.equal(listed(['-r', `${folder}/flag`], env), `${folder}/flag`)
})

test('a configuration file with a misspelt setting gives a warning', async (t) => {
  const file = join(await makeFolder(t), 'si.conf')
  await writeFile(file, 'SI_THREDS=4\n')
  const { status, stderr } = run(['lsimage', '-r', '/nonexistent'], { SI_CONFIG: file })
  assert.ok(stderr.startsWith(`warning: ${file}: SI_THREDS is no setting\n`), stderr)
  assert.equal(status, 0)
})
