// The repository commands as people call them: launcher, arguments, output, exit statuses.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test, type TestContext } from 'node:test'

const launcher = join(import.meta.dirname, '../../src/cli/si')
const skip = process.getuid?.() === 0 || process.env['CI'] === 'true' ? false : 'needs root'

/** A repository with versions 1 to `versions` of image web; `run` calls a command on it. */
function makeSite(t: TestContext, versions: number) {
  const folder = mkdtempSync(join(tmpdir(), 'si-repository-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const repository = join(folder, 'repository')
  const tree = mkdtempSync(join(folder, 'tree-'))
  const run = (...args: readonly string[]) =>
    spawnSync(launcher, args, {
      encoding: 'utf8',
      env: { ...process.env, SI_REPOSITORY: repository },
      timeout: 60_000,
    })
  for (let version = 1; version <= versions; version++) {
    writeFileSync(join(tree, `file${version}`), `content ${version}`)
    const { status, stderr } = run(
      ...['getimage', '--root', tree, '--name', 'web', '--image-version', String(version)],
    )
    assert.equal(status, 0, stderr)
  }
  return { folder, repository, tree, run }
}

const jsonLines = (text: string) =>
  text
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Record<string, unknown>)

describe('repository commands', { skip }, () => {
  test('si lsimage shows sizes, shared bytes, date and signer of every version', (t) => {
    const { run } = makeSite(t, 2)
    const [head, first, second] = run('lsimage').stdout.split('\n')
    assert.match(head ?? '', /^IMAGE +VERSION +CONTENT +PACK +SHARED +CREATED.+SIGNED BY/)
    assert.match(first ?? '', /^web +1 +\S+ B +\S+ B +- +\d{4}-\d\d-\d\d \d\d:\d\d .+ unsigned /)
    assert.match(second ?? '', /^web +2 \* /)
    const [row] = jsonLines(run('lsimage', 'web/2', '--json').stdout)
    assert.equal(row?.['isLatest'], true)
    assert.equal(row?.['signedBy'], null)
    assert.equal(typeof row?.['sharedBytes'], 'number')
  })

  test('si rmimage asks for a version, then for consent, and --dry-run removes nothing', (t) => {
    const { run } = makeSite(t, 2)
    assert.equal(run('rmimage').status, 2)
    assert.match(run('rmimage', 'web').stderr, /^error: Which version of image "web"/)
    const refused = run('rmimage', 'web/1')
    assert.equal(refused.status, 2)
    assert.match(refused.stderr, /not confirmed\nhint: Add --yes/)
    assert.equal(
      run('rmimage', 'web/2', '--dry-run').stdout,
      'would remove  web/2  latest points to it\n',
    )
    assert.equal(jsonLines(run('lsimage', '--json').stdout).length, 2)
    assert.equal(run('rmimage', 'web/7', '--yes').status, 10)
  })

  test('si rmimage of the latest version says what latest is now', (t) => {
    const { run, repository } = makeSite(t, 2)
    const { status, stderr } = run('rmimage', 'web/2', '--yes')
    assert.equal(status, 0, stderr)
    assert.equal(stderr, 'si-rmimage: web: latest is now 1\n')
    assert.equal(readlinkSync(join(repository, 'images/web/latest')), '1')
  })

  test('si rmimage --keep-last keeps the newest and says why', (t) => {
    const { run } = makeSite(t, 3)
    const { stdout } = run('rmimage', 'web', '--keep-last', '1', '--yes', '--json')
    assert.deepEqual(
      jsonLines(stdout).map(({ version, action, reasons }) => [version, action, reasons]),
      [
        ['1', 'remove', []],
        ['2', 'remove', []],
        ['3', 'keep', ['last', 'latest']],
      ],
    )
    assert.deepEqual(
      jsonLines(run('lsimage', '--json').stdout).map(({ version }) => version),
      ['3'],
    )
    assert.equal(run('rmimage', '--all', '--keep-last', '1').status, 2)
  })

  test('si cpimage and si mvimage print where the image is now', (t) => {
    const { run, repository, folder } = makeSite(t, 2)
    const other = join(folder, 'other')
    assert.equal(run('cpimage', 'web').status, 2)
    assert.equal(run('cpimage', 'web', 'shop').stdout, `shop 2 ${repository}/images/shop/2\n`)
    assert.equal(run('cpimage', 'web', 'shop').status, 1)
    assert.equal(run('cpimage', 'web/8', 'shop').status, 10)
    assert.equal(
      run('cpimage', 'web/1', 'web/first').stdout,
      `web first ${repository}/images/web/first\n`,
    )
    const moved = run('mvimage', 'web', '--to-repository', other)
    assert.equal(
      moved.stdout,
      ['1', '2', 'first'].map((v) => `web ${v} ${other}/images/web/${v}\n`).join(''),
    )
    assert.deepEqual(
      jsonLines(run('lsimage', '--json').stdout).map(({ name }) => name),
      ['shop'],
    )
    const row = (...args: readonly string[]) => jsonLines(run(...args, '--json').stdout)[0]
    assert.equal(
      row('lsimage', 'shop')?.['packBytes'],
      row('lsimage', 'web/2', '-r', other)?.['packBytes'],
    )
  })

  test('si diffimage shows what changed, and numbers alone with --stat', (t) => {
    const { run } = makeSite(t, 2)
    const { stdout, stderr, status } = run('diffimage', 'web/1', 'web')
    assert.equal(status, 0, stderr)
    assert.match(stdout, /^~ \/: mtime .* → .*\n\+ \/file2\n$/)
    assert.match(stderr, /^1 added, 0 removed, 1 changed, 1 unchanged; \S+ \w+ to fetch of /)
    assert.match(run('diffimage', 'web/1', 'web', '--stat').stdout, /^1 added, /)
    const lines = jsonLines(run('diffimage', 'web/2', 'web/1', '--json').stdout)
    assert.deepEqual(
      lines.map(({ kind, path, type }) => kind ?? [path, type]),
      ['changed', 'removed', [undefined, 'summary']],
    )
    assert.equal(run('diffimage', 'web/1', 'web/9').status, 10)
  })

  test('si verifyimage --all tells sound images from a damaged one, with exit status 12', (t) => {
    const { run, repository } = makeSite(t, 2)
    const sound = run('verifyimage', '--all', '--allow-unsigned')
    assert.equal(sound.status, 0, sound.stderr)
    assert.match(sound.stdout, /^web\/1: sound, nobody vouches for it \(.*\)\nweb\/2: sound, .*\n$/)
    const pack = join(repository, 'images/web/1/image.tar.zst')
    const bytes = readFileSync(pack)
    bytes.writeUInt8(bytes.readUInt8(bytes.length >> 1) ^ 1, bytes.length >> 1)
    writeFileSync(pack, bytes)
    const { status, stdout } = run('verifyimage', '--all')
    assert.equal(status, 12)
    assert.match(
      stdout,
      /^web\/1: DAMAGED, NOT TRUSTED \(.*\)\n {2}piece 0: .*; damaged chunks: 0\n {2}damaged file: \/file1\n/,
    )
    assert.match(stdout, /web\/2: sound, NOT TRUSTED/)
    assert.equal(run('verifyimage').status, 2)
    assert.equal(run('verifyimage', 'web', '--all').status, 2)
  })

  test('si importimage makes an image of what si exportimage writes', (t) => {
    const { run, repository, folder } = makeSite(t, 1)
    const tar = join(folder, 'web.tar')
    assert.equal(run('exportimage', 'web', '-o', tar).status, 0)
    const { status, stdout, stderr } = run(
      'importimage',
      tar,
      '-n',
      'again',
      '--image-version',
      '1',
    )
    assert.equal(status, 0, stderr)
    assert.equal(stdout, `again 1 ${repository}/images/again/1\n`)
    assert.match(
      run('diffimage', 'web', 'again', '--stat').stdout,
      /^0 added, 0 removed, 0 changed, 2 /,
    )
    assert.equal(run('importimage', join(folder, 'none'), '-n', 'x').status, 2)
    assert.equal(run('importimage', tar).status, 2)
  })
})
