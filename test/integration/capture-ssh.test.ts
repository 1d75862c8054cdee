// Capture over a real ssh connection, and every way in which it can fail.
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { after, before, describe, test, type TestContext } from 'node:test'
import { capture, type CaptureOptions, type CaptureSource } from '../../src/capture/capture.ts'
import { silentProgress, SiError } from '../../src/core/core.ts'
import { run } from '../../src/host/host.ts'
import { verifyImage } from '../../src/image/image.ts'
import {
  openRepository,
  parseImageName,
  parseImageVersion,
  type Repository,
} from '../../src/repository/repository.ts'
import { parseMetainfo } from '../../src/torrent/torrent.ts'
import { waitFor, withScope, type Scope } from '../lab/scope.ts'
import { freePort } from '../lab/foreign/client-program.ts'
import { startSshGolden, type SshGolden } from './capture-sshd.ts'

const skip = process.getuid?.() === 0 || process.env['CI'] === 'true' ? false : 'needs root'
const NAME = parseImageName('golden')
const VERSION = parseImageVersion('1')
const DEADLINE_MS = 20_000

describe('capture over ssh', { skip }, () => {
  let golden: SshGolden
  let scope: Scope
  let end: () => void = () => {}
  let ended: Promise<void>

  before(async () => {
    const ready = Promise.withResolvers<void>()
    const over = Promise.withResolvers<void>()
    end = over.resolve
    ended = withScope(async (own) => {
      scope = own
      golden = await startSshGolden(own)
      ready.resolve()
      await over.promise
    })
    ended.catch(ready.reject)
    await ready.promise
  })
  after(async () => {
    end()
    await ended
  })

  test('capture() brings a tree into the repository that GNU tar restores', async () => {
    await mkdir(join(golden.tree, 'srv/data'), { recursive: true })
    await writeFile(join(golden.tree, 'srv/data/file'), 'content')
    await run('setfattr', ['-n', 'user.test', '-v', 'x', join(golden.tree, 'srv/data/file')])
    const repository = await newRepository(scope)
    const report = await captureSsh(repository, { trackers: ['http://t.example/announce'] })
    assert.equal(report.exitedPartial, false)
    assert.deepEqual(report.changedFiles, [])
    const { header, image } = report
    assert.equal(header.source.operatingSystem, 'Test Linux 1')
    assert.equal(header.source.architecture, (await run('uname', ['-m'])).stdout.trim())
    assert.equal(header.fstab, '/dev/vda1 / ext4 defaults 0 1\n')
    assert.equal(header.layout, null)
    assert.ok(header.excludes.includes('- /etc/machine-id'))
    const metainfo = parseMetainfo(await readFile(image.torrentPath))
    assert.deepEqual(metainfo.trackers, [['http://t.example/announce']])
    assert.equal(metainfo.name, 'golden-1')
    const files = (await readdir(image.directory)).sort()
    assert.deepEqual(files, [
      'capture-state.jsonl.zst',
      'image.tar.zst',
      'image.torrent',
      'manifest.jsonl.zst',
    ])
    const copy = await mkdtemp(join(scope.directory, 'copy-'))
    const script = `zstd -dc '${image.packPath}' | tar --xattrs --xattrs-include='*' -xC '${copy}'`
    await run('sh', ['-c', script])
    const { stdout } = await run('diff', ['-r', '--no-dereference', golden.tree, copy], {
      okExitCodes: [0, 1],
    })
    const lines = stdout.split('\n').filter(Boolean)
    assert.deepEqual(lines, [
      `Only in ${golden.tree}/dev: null`,
      `Only in ${golden.tree}/etc: machine-id`,
    ])
    const { stdout: value } = await run('getfattr', ['-n', 'user.test', `${copy}/srv/data/file`])
    assert.match(value, /user\.test="x"/)
  })

  test('capture() keeps the image when files change meanwhile, and names them', async (t) => {
    await writeFile(join(golden.tree, '!grows'), Buffer.alloc(4 * 2 ** 20, 'x'))
    await writeFile(join(golden.tree, 'grow'), 'echo more >> /!grows\n')
    const act = "--checkpoint=50 --checkpoint-action='exec=sh /grow'"
    await replaceTar(t, `[ "$1" = --version ] || set -- ${act} "$@"; exec /bin/real/tar "$@"`)
    t.after(() => rm(join(golden.tree, '!grows')))
    const repository = await newRepository(scope)
    const report = await captureSsh(repository)
    assert.equal(report.exitedPartial, true)
    assert.deepEqual(report.changedFiles, ['/!grows'])
    assert.deepEqual(report.header.changedFiles, ['/!grows'])
    assert.equal((await repository.open(NAME)).version, '1')
  })

  test('capture() goes on without what vanished after the tree was listed, and names it', async (t) => {
    await mkdir(join(golden.tree, 'folder'))
    await writeFile(join(golden.tree, 'folder/file'), 'x')
    await writeFile(join(golden.tree, 'gone'), 'x')
    const remove = '[ "$1" = --version ] || rm -rf /folder /gone'
    await replaceTar(t, `${remove}; exec /bin/real/tar "$@"`)
    const report = await captureSsh(await newRepository(scope))
    assert.equal(report.exitedPartial, true)
    assert.deepEqual(report.changedFiles, ['/folder', '/folder/file', '/gone'])
    const names = (await listEntries(report.image.packPath)).join('\n')
    assert.match(names, /^\.\/etc\/fstab$/m)
    assert.doesNotMatch(names, /folder|gone/)
  })

  test('capture() leaves out what lies behind a link that was a directory when it was listed', async (t) => {
    await mkdir(join(golden.tree, 'outside'))
    await mkdir(join(golden.tree, 'folder/sub'), { recursive: true })
    await mkdir(join(golden.tree, 'outside/sub'))
    for (const name of ['folder/file', 'outside/file', 'folder/sub/file', 'outside/sub/file'])
      await writeFile(join(golden.tree, name), name)
    await writeFile(join(golden.tree, 'was-file'), 'x')
    t.after(() => run('sh', ['-c', 'cd "$1" && rm -r folder outside was-file', 'sh', golden.tree]))
    const swap = 'rm -r /folder /was-file; ln -s outside /folder; mkdir /was-file'
    await replaceTar(t, `[ "$1" = --version ] || { ${swap}; }; exec /bin/real/tar "$@"`)
    const report = await captureSsh(await newRepository(scope))
    assert.equal(report.exitedPartial, true)
    const behind = '/folder/file /folder/sub /folder/sub/file'
    // tar takes what it read through the link already for a further name of that.
    const linked = '/outside/file /outside/sub/file'
    const changed = `/folder ${behind} ${linked} /was-file`.split(' ')
    assert.deepEqual(report.changedFiles, changed)
    assert.deepEqual(report.header.changedFiles, changed)
    assert.deepEqual(report.notes, [
      `Not captured, because their directory became something else meanwhile: ${behind}`,
      `Not captured, because tar had read them by the names of those already: ${linked}`,
    ])
    const names = await listEntries(report.image.packPath)
    assert.deepEqual(
      names.filter((name) => /folder|outside|was-file/.test(name)),
      ['./folder', './outside/', './outside/sub/', './was-file/'],
    )
    const { faults, pieceFaults } = await verifyImage(report.image.directory, { threads: 1 })
    assert.deepEqual([...faults, ...pieceFaults], [])
  })

  test('capture() names what cannot be read and makes an image of the rest', async (t) => {
    const words = 'echo "find: \'./closed\': Input/output error" >&2'
    await golden.replaceProgram(
      'find',
      `[ "$1" = --version ] || ${words}; exec /bin/real/find "$@"`,
    )
    t.after(() => golden.replaceProgram('find', 'exec /bin/real/find "$@"'))
    const deny = 'echo "tar: ./secret: Warning: Cannot open: Permission denied" >&2'
    await replaceTar(t, `[ "$1" = --version ] || ${deny}; exec /bin/real/tar "$@"`)
    const report = await captureSsh(await newRepository(scope))
    assert.equal(report.exitedPartial, true)
    assert.deepEqual(report.notes, [
      'Not captured, because it cannot be read: /closed: Input/output error',
      'Not captured, because it cannot be read: /secret: Cannot open: Permission denied',
    ])
  })

  test('capture() makes no image with zeros in the place of data that could not be read', async (t) => {
    const fault =
      'tar: ./x: Warning: Read error at byte 0, while reading 512 bytes: Input/output error'
    await replaceTar(t, `[ "$1" = --version ] || echo "${fault}" >&2; exec /bin/real/tar "$@"`)
    await assertFails({ code: 'ERR_SI_CAPTURE', message: /Read error at byte 0/ })
  })

  test('capture() throws ERR_SI_GOLDEN_CLIENT when the listing is killed half-way', async (t) => {
    await golden.replaceProgram(
      'find',
      '[ "$1" = --version ] || kill -9 $PPID; exec /bin/real/find "$@"',
    )
    t.after(() => golden.replaceProgram('find', 'exec /bin/real/find "$@"'))
    await assertFails({ code: 'ERR_SI_GOLDEN_CLIENT' })
  })

  test('capture() throws ERR_SI_CAPTURE when tar exits with 2, with its words', async (t) => {
    const fail = 'echo "tar: ./x: Read error at byte 0: Input/output error" >&2; exit 2'
    await replaceTar(
      t,
      `[ "$1" = --version ] && exec /bin/real/tar "$@"; /bin/real/tar "$@"; ${fail}`,
    )
    await assertFails({ code: 'ERR_SI_CAPTURE', message: /status 2: \.\/x: Read error at byte 0/ })
  })

  test('capture() throws ERR_SI_CAPTURE when the archive ends early with status 0', async (t) => {
    const cut = '/bin/real/tar "$@" | { read -r x; printf "%s" "$x"; }'
    await replaceTar(t, `[ "$1" = --version ] && exec /bin/real/tar "$@"; ${cut}; exit 0`)
    await assertFails({ code: 'ERR_SI_CAPTURE', message: /its archive is damaged/ })
  })

  test('capture() throws ERR_SI_GOLDEN_CLIENT when sshd dies half-way', async (t) => {
    const pause = await pauseTar(t)
    const failing = assertFails({ code: 'ERR_SI_GOLDEN_CLIENT', message: /connection was lost/ })
    await pause.reached()
    for (const pid of await golden.sessions()) process.kill(pid, 'SIGKILL')
    await failing
  })

  test('capture() ends at once when it is interrupted, and leaves no ssh behind', async (t) => {
    const pause = await pauseTar(t)
    const controller = new AbortController()
    const failing = assertFails({ code: 'ERR_SI_ABORTED' }, { signal: controller.signal })
    await pause.reached()
    controller.abort(new SiError('ERR_SI_ABORTED', 'Interrupted'))
    await failing
    await pause.resume()
    await waitFor('the end of the session', async () => (await golden.sessions()).length === 0, {
      deadlineMs: DEADLINE_MS,
    })
  })

  test('capture() explains a login that is refused', async () => {
    const other = join(scope.directory, 'other_key')
    await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', other])
    await assertFails(
      { code: 'ERR_SI_GOLDEN_CLIENT', message: /refuses the login/, hint: /ssh-copy-id/ },
      { source: { identityFile: other } },
    )
  })

  test('capture() explains a refused connection and one that nobody answers', async () => {
    const code = 'ERR_SI_GOLDEN_CLIENT'
    const message = /connection refused/
    await assertFails({ code, message, hint: /-p/ }, { source: { port: await freePort() } })
    const silent = createServer(() => {})
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
    const { port } = silent.address() as AddressInfo
    const sshOptions = [...golden.sshOptions, 'ConnectTimeout=1']
    await assertFails({ code, message: /does not answer/ }, { source: { port, sshOptions } })
    silent.close()
  })

  test('capture() explains an unknown and a changed host key', async () => {
    const code = 'ERR_SI_GOLDEN_CLIENT'
    const known = join(scope.directory, 'other_known_hosts')
    const sshOptions = [
      `UserKnownHostsFile=${known}`,
      ...golden.sshOptions.filter((option) => !option.startsWith('UserKnownHostsFile')),
    ]
    await writeFile(known, '')
    await assertFails({ code, message: /host key is unknown/ }, { source: { sshOptions } })
    const userKey = await readFile(`${golden.identityFile}.pub`, 'utf8')
    await writeFile(known, `[127.0.0.1]:${golden.port} ${userKey}`)
    const hint = /ssh-keygen -R/
    await assertFails({ code, message: /host key has changed/, hint }, { source: { sshOptions } })
  })

  test('capture() refuses a user who is not root, and a golden client without GNU tar', async (t) => {
    const code = 'ERR_SI_GOLDEN_CLIENT'
    await golden.replaceProgram('id', 'echo 1000')
    await assertFails({ code, message: /user 1000 is not root/, hint: /root@HOST/ })
    await golden.replaceProgram('id', 'echo 0')
    await replaceTar(t, 'echo "tar (busybox) 1.35.0"')
    await assertFails({ code, message: /GNU tar 1\.28 or newer is needed/ })
  })

  interface Changes {
    readonly source?: Partial<CaptureSource & { type: 'ssh' }>
    readonly trackers?: readonly string[]
    readonly signal?: AbortSignal
  }

  function captureSsh(repository: Repository, changes: Changes = {}) {
    const options: CaptureOptions = {
      source: {
        ...{ type: 'ssh', host: 'root@127.0.0.1', port: golden.port },
        ...{ sshOptions: golden.sshOptions, identityFile: golden.identityFile },
        ...changes.source,
      },
      ...{ repository, name: NAME, version: VERSION, excludes: [], useDefaultExcludes: true },
      ...{ zstdLevel: 1, threads: 1, trackers: changes.trackers ?? [] },
    }
    return capture(options, silentProgress, changes.signal ?? new AbortController().signal)
  }

  /** The capture fails as told, and the repository holds neither an image nor a draft. */
  async function assertFails(
    expected: { readonly code: string; readonly message?: RegExp; readonly hint?: RegExp },
    changes: Changes = {},
  ): Promise<void> {
    const repository = await newRepository(scope)
    await assert.rejects(captureSsh(repository, changes), expected)
    assert.deepEqual(await repository.list(), [])
    const left = await readdir(join(repository.directory, 'images', NAME)).catch(() => [])
    assert.deepEqual(
      left.filter((entry) => entry !== '.lock'),
      [],
    )
  }

  async function replaceTar(t: TestContext, script: string): Promise<void> {
    await golden.replaceProgram('tar', script)
    t.after(() => golden.replaceProgram('tar', 'exec /bin/real/tar "$@"'))
  }

  /** A tar that stops in the middle until `resume`. */
  async function pauseTar(t: TestContext) {
    const [paused, go] = [join(golden.tree, 'tmp/paused'), join(golden.tree, 'tmp/go')]
    await writeFile(join(golden.tree, 'pause'), PAUSE)
    await replaceTar(
      t,
      `[ "$1" = --version ] || set -- --checkpoint=50 --checkpoint-action='exec=sh /pause' "$@"
exec /bin/real/tar "$@"`,
    )
    const resume = () => writeFile(go, '')
    t.after(async () => {
      await resume()
      await waitFor('the end of tar', async () => (await golden.sessions()).length === 0, {
        deadlineMs: DEADLINE_MS,
      })
      await rm(paused, { force: true })
      await rm(go, { force: true })
    })
    const exists = () =>
      stat(paused).then(
        () => true,
        () => false,
      )
    return { resume, reached: () => waitFor('the pause', exists, { deadlineMs: DEADLINE_MS }) }
  }
})

/** Ends by itself: a test that is killed cannot say go. */
const PAUSE = `touch /tmp/paused
rounds=0
while [ ! -e /tmp/go ] && [ "$rounds" -lt 600 ]; do sleep 0.1; rounds=$((rounds + 1)); done
`

async function listEntries(packPath: string): Promise<string[]> {
  const { stdout } = await run('sh', ['-c', `zstd -dc '${packPath}' | tar -t`])
  return stdout.split('\n').filter(Boolean)
}

async function newRepository(scope: Scope): Promise<Repository> {
  return openRepository(await mkdtemp(join(scope.directory, 'repository-')))
}
