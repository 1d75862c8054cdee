// si-exportimage: the archive, single files and the list, and readers that go away.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import {
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test, type TestContext } from 'node:test'

const launcher = join(import.meta.dirname, '../../src/cli/si')
const skip = process.getuid?.() === 0 || process.env['CI'] === 'true' ? false : 'needs root'

function makeSite(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), 'si-export-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const tree = join(folder, 'tree')
  mkdirSync(join(tree, 'etc'), { recursive: true })
  writeFileSync(join(tree, 'etc/data'), crypto.getRandomValues(new Uint8Array(60_000)))
  linkSync(join(tree, 'etc/data'), join(tree, 'hard'))
  symlinkSync('etc/data', join(tree, 'soft'))
  writeFileSync(join(tree, 'sparse'), 'start')
  truncateSync(join(tree, 'sparse'), 300_000)
  const env = { ...process.env, SI_REPOSITORY: join(folder, 'repository') }
  const run = (...args: readonly string[]) =>
    spawnSync(launcher, args, { env, timeout: 60_000, maxBuffer: 2 ** 26 })
  const shell = (script: string) =>
    spawnSync('bash', ['-c', script, 'bash', launcher, folder], { env, encoding: 'utf8' })
  const { status, stderr } = run(
    'getimage',
    '--root',
    tree,
    '--name',
    'web',
    '--image-version',
    '1',
  )
  assert.equal(status, 0, stderr.toString())
  return { folder, tree, run, shell }
}

describe('si exportimage', { skip }, () => {
  test('si exportimage writes the tar that the pack holds, to a pipe and to a file', (t) => {
    const { folder, run } = makeSite(t)
    const pack = join(folder, 'repository/images/web/1/image.tar.zst')
    const tar = spawnSync('zstd', ['-dcq', pack], { maxBuffer: 2 ** 26 }).stdout
    assert.deepEqual(run('exportimage', 'web').stdout, tar)
    const file = join(folder, 'web.tar')
    writeFileSync(file, 'old')
    assert.equal(run('exportimage', 'web/1', '--output', file).status, 0)
    assert.deepEqual(readFileSync(file), tar)
  })

  test('si exportimage writes one file, with its holes, and through a hard link', (t) => {
    const { tree, run } = makeSite(t)
    assert.deepEqual(
      run('exportimage', 'web', '/etc/data').stdout,
      readFileSync(join(tree, 'etc/data')),
    )
    assert.deepEqual(run('exportimage', 'web', 'hard').stdout, readFileSync(join(tree, 'hard')))
    assert.deepEqual(
      run('exportimage', 'web', './sparse').stdout,
      readFileSync(join(tree, 'sparse')),
    )
    assert.equal(run('exportimage', 'web', '/nothing').status, 10)
    const directory = run('exportimage', 'web', '/etc')
    assert.equal(directory.status, 2)
    assert.match(
      directory.stderr.toString(),
      /^error: \/etc of image web\/1 is a directory, no file/,
    )
  })

  test('si exportimage --list shows what ls would, all of it or below a path', (t) => {
    const { run } = makeSite(t)
    const all = run('exportimage', 'web', '--list').stdout.toString()
    assert.match(all, /^drwxr-xr-x 0\/0 .* \/\n/)
    assert.match(all, /\nlrwxrwxrwx 0\/0 +0 .* \/soft -> etc\/data\n/)
    assert.match(all, /\n-rw-r--r-- 0\/0 +300000 .* \/sparse\n/)
    const below = run('exportimage', 'web', 'etc', '--list', '--json').stdout.toString()
    assert.deepEqual(
      below
        .trim()
        .split('\n')
        .map((line) => (JSON.parse(line) as { path: string }).path),
      ['/etc', '/etc/data'],
    )
  })

  test('si exportimage is quiet when its reader goes away', (t) => {
    const { shell } = makeSite(t)
    const { stdout, stderr } = shell(
      '"$1" exportimage web | head -c 5 | wc -c; echo "${PIPESTATUS[0]}"',
    )
    assert.equal(stdout.split('\n')[0], '5')
    assert.doesNotMatch(stderr, /error/)
  })

  test('si exportimage leaves no file when the image is damaged, and says which chunk', (t) => {
    const { folder, run } = makeSite(t)
    const pack = join(folder, 'repository/images/web/1/image.tar.zst')
    const bytes = readFileSync(pack)
    writeFileSync(pack, bytes.fill(0x55, bytes.length >> 1, (bytes.length >> 1) + 9))
    const { status, stderr } = run('exportimage', 'web', '-o', join(folder, 'web.tar'))
    assert.equal(status, 12)
    assert.match(stderr.toString(), /error: Cannot read chunk \d+ of .*\nhint: Run si-verifyimage/)
    assert.ok(!existsSync(join(folder, 'web.tar')))
    assert.deepEqual(readdirSync(folder).sort(), ['repository', 'tree'])
  })
})
