// The image server on loopback: torrents, tracker, seeding to foreign clients, images that come and go.
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { randomBytes } from 'node:crypto'
import { test, type TestContext } from 'node:test'
import { capture } from '../../src/capture/capture.ts'
import { silentProgress } from '../../src/core/core.ts'
import { run } from '../../src/host/host.ts'
import {
  openRepository,
  parseImageName,
  parseImageVersion,
  type ImageReference,
  type Repository,
} from '../../src/repository/repository.ts'
import {
  silentLog,
  startSeeder,
  startServer,
  type ImageStatus,
  type RunningServer,
  type ServerOptions,
} from '../../src/server/server.ts'
import { parseMetainfo } from '../../src/torrent/torrent.ts'
import { makeCertificates, UNSIGNED } from '../lab/certificates.ts'
import { createNetwork } from '../lab/network.ts'
import { runOnHost, startOnHost, waitForHttp } from '../lab/program-on-host.ts'
import { waitFor, withScope } from '../lab/scope.ts'

const isRoot = process.getuid?.() === 0 || process.env['CI'] === 'true'
const skip = isRoot ? false : 'capture needs root'
const DEADLINE_MS = 15_000
const MIB = 2 ** 20
const SI = join(import.meta.dirname, '../../src/cli/si')
const never = new AbortController().signal

test(
  'startServer() hands out torrents that announce where they were fetched',
  { skip },
  async (t) => {
    const { repository, directory } = await setUp(t)
    const image = await put(repository, directory, 'web', '1')
    const server = await serve(t, { repository })
    const base = `http://localhost:${server.httpPort}`
    for (const path of [
      '/images/web/img.torrent',
      '/images/web/1/img.torrent',
      '/images/web/latest/img.torrent',
    ]) {
      const metainfo = await fetchTorrent(`${base}${path}`)
      assert.deepEqual(metainfo.trackers, [[`${base}/announce`]])
      assert.equal(metainfo.infoHash, parseMetainfo(await readFile(image.torrentPath)).infoHash)
    }
  },
)

test(
  'startServer() names the given announce URL first and keeps other trackers',
  { skip },
  async (t) => {
    const { repository, directory } = await setUp(t)
    await put(repository, directory, 'web', '1', ['http://127.0.0.1:9/announce'])
    const announceUrl = 'http://192.0.2.7:8080/announce'
    const server = await serve(t, { repository, announceUrl })
    const metainfo = await fetchTorrent(
      `http://127.0.0.1:${server.httpPort}/images/web/img.torrent`,
    )
    assert.deepEqual(metainfo.trackers, [[announceUrl], ['http://127.0.0.1:9/announce']])
  },
)

test(
  'startServer() answers 404 and 400 with a reason, and lists its images',
  { skip },
  async (t) => {
    const { repository, directory } = await setUp(t)
    await put(repository, directory, 'web', '1')
    const server = await serve(t, { repository })
    const get = (path: string) => fetch(`http://127.0.0.1:${server.httpPort}${path}`)
    const missing = await get('/images/none/img.torrent')
    assert.equal(missing.status, 404)
    assert.equal(((await missing.json()) as { code: string }).code, 'ERR_SI_IMAGE_NOT_FOUND')
    for (const name of ['..%2f..%2fetc', '.lock', '%00']) {
      assert.equal((await get(`/images/${name}/img.torrent`)).status, 400, name)
    }
    assert.equal((await get('/nothing')).status, 404)
    assert.deepEqual(await (await get('/health')).json(), { status: 'ok' })
    const [status] = (await (await get('/images')).json()) as ImageStatus[]
    assert.equal(status?.torrent, '/images/web/1/img.torrent')
    assert.match(await (await get('/')).text(), /<a href="\/images\/web\/1\/img\.torrent">/)
  },
)

test(
  'startServer() seeds a new image, and stops seeding a removed one, without restart',
  { skip },
  async (t) => {
    const { repository, directory } = await setUp(t)
    const server = await serve(t, { repository })
    assert.deepEqual(server.images(), [])
    const image = await put(repository, directory, 'web', '1')
    await until('seeding', () => server.images().length === 1)
    const { infoHash } = parseMetainfo(await readFile(image.torrentPath))
    assert.equal(await failureOf(server, infoHash), undefined)
    await rm(image.directory, { recursive: true })
    await until('the end of seeding', () => server.images().length === 0)
    assert.equal(await failureOf(server, infoHash), 'unknown torrent')
  },
)

test('startServer() seeds the others when one image is damaged', { skip }, async (t) => {
  const { repository, directory } = await setUp(t)
  const damaged = await put(repository, directory, 'bad', '1')
  await put(repository, directory, 'web', '1')
  await truncate(damaged.packPath, 100)
  const warnings: string[] = []
  const log = { info() {}, warn: (_fields: object, message: string) => warnings.push(message) }
  const server = await serve(t, { repository, log })
  assert.deepEqual(
    server.images().map(({ name }) => name),
    ['web'],
  )
  await server.rescan()
  assert.equal(warnings.length, 1)
  assert.match(warnings[0] ?? '', /^not seeded: .*image\.tar\.zst/)
})

test('startServer() throws ERR_SI_LISTEN when a port is in use, and frees the other', async (t) => {
  const { repository } = await setUp(t)
  const holder = createServer()
  await new Promise<void>((resolve) => holder.listen(0, '127.0.0.1', resolve))
  t.after(() => holder.close())
  const { port } = holder.address() as AddressInfo
  const options = { repository, host: '127.0.0.1', httpPort: 0, peerPort: 0, log: silentLog }
  const code = 'ERR_SI_LISTEN'
  await assert.rejects(startServer({ ...options, httpPort: port }, never), {
    code,
    message: `Cannot listen for HTTP on 127.0.0.1 port ${port}: it is in use`,
  })
  await assert.rejects(startServer({ ...options, peerPort: port }, never), { code })
})

test('startServer() refuses an announce URL whose host has no address', async (t) => {
  const { repository } = await setUp(t)
  const options = { repository, host: '127.0.0.1', httpPort: 0, peerPort: 0, log: silentLog }
  for (const announceUrl of ['nonsense', 'http://a b/announce', 'udp://127.0.0.1/announce']) {
    await assert.rejects(startServer({ ...options, announceUrl }, never), { code: 'ERR_SI_USAGE' })
  }
})

test('startServer() ends with its signal', async (t) => {
  const { repository } = await setUp(t)
  const controller = new AbortController()
  const options = { repository, host: '127.0.0.1', httpPort: 0, peerPort: 0, log: silentLog }
  const server = await startServer(options, controller.signal)
  controller.abort()
  await server.close()
  await assert.rejects(fetch(`http://127.0.0.1:${server.httpPort}/health`))
  await assert.rejects(startServer(options, controller.signal), { code: 'ERR_SI_ABORTED' })
})

test('aria2c downloads an image from startServer()', { skip, timeout: 60_000 }, async (t) => {
  const { repository, directory } = await setUp(t)
  await writeFile(join(directory, 'random'), randomBytes(3 * MIB))
  const image = await put(repository, directory, 'web', '1')
  const server = await serve(t, { repository })
  const target = await temporary(t)
  const quiet = ['--quiet', '--seed-time=0', '--enable-dht=false', '--bt-enable-lpd=false']
  const where = [`--dir=${target}`, '--listen-port=21000-21999', '--enable-peer-exchange=false']
  const url = `http://127.0.0.1:${server.httpPort}/images/web/img.torrent`
  await run('aria2c', [...quiet, ...where, url], { signal: t.signal })
  assert.ok(await isSame(join(target, 'web-1'), image))
  assert.ok((server.images()[0]?.uploadedBytes ?? 0) >= 3 * MIB)
})

test('transmission-cli finds startServer() through its tracker', { skip, timeout: 60_000 }, (t) =>
  // In a network of its own: transmission takes no loopback address from a tracker.
  withScope(async (scope) => {
    const { repository, directory } = await setUp(t)
    await writeFile(join(directory, 'random'), randomBytes(3 * MIB))
    const image = await put(repository, directory, 'web', '1')
    const network = await createNetwork(scope, { hosts: ['server', 'client'] })
    const [home, target] = [network('server'), await temporary(t)]
    const args = ['server', '--repository', repository.directory, '--http-port', '8080']
    const server = startOnHost(scope, home, { program: SI, args })
    const url = `http://${home.address}:8080`
    await waitForHttp(scope, network('client'), `${url}/health`, server)
    const torrent = join(target, 'img.torrent')
    const fetchTo = ['--silent', '--fail', '--output', torrent, `${url}/images/web/img.torrent`]
    await runOnHost(scope, network('client'), { program: 'curl', args: fetchTo })
    const config = join(target, 'config')
    const where = ['--config-dir', config, '--download-dir', target]
    await mkdir(config)
    // With uTP it waits for an answer over UDP first, longer than a test should.
    const settings = { 'utp-enabled': false, 'dht-enabled': false, 'lpd-enabled': false }
    await writeFile(join(config, 'settings.json'), JSON.stringify(settings))
    startOnHost(scope, network('client'), {
      program: 'transmission-cli',
      args: [...where, '--no-portmap', '--encryption-tolerated', torrent],
    })
    const isComplete = () => isSame(join(target, 'web-1'), image)
    await waitFor('the download', isComplete, { deadlineMs: 40_000, signal: t.signal })
  }),
)

test(
  'startSeeder() serves an image folder to whoever its tracker sends',
  { skip, timeout: 60_000 },
  async (t) => {
    const { repository, directory } = await setUp(t)
    const image = await put(repository, directory, 'web', '1')
    const elsewhere = await temporary(t)
    await run('cp', ['-r', image.directory, join(elsewhere, 'copy')])
    const server = await serve(t, { repository, announceIntervalMs: 1000 })
    const trackerUrl = `http://127.0.0.1:${server.httpPort}/announce`
    const seeder = await startSeeder(
      {
        sources: [
          {
            torrentPath: join(elsewhere, 'copy/image.torrent'),
            directory: join(elsewhere, 'copy'),
          },
        ],
        ...{ host: '127.0.0.1', peerPort: 0, trackers: [trackerUrl], log: silentLog },
        trust: UNSIGNED,
      },
      never,
    )
    t.after(() => seeder.close())
    await until('the announce of the seeder', () => server.images()[0]?.peerCount === 1)
    assert.equal(seeder.torrents()[0]?.stats.piecesHave, seeder.torrents()[0]?.metainfo.pieceCount)
  },
)

test('startSeeder() refuses a file of a wrong size before it announces', { skip }, async (t) => {
  const { repository, directory } = await setUp(t)
  const image = await put(repository, directory, 'web', '1')
  await truncate(image.packPath, 100)
  const sources = [{ torrentPath: image.torrentPath, directory: image.directory }]
  const place = { host: '127.0.0.1', peerPort: 0, trackers: [] }
  const options = { sources, ...place, trust: UNSIGNED, log: silentLog }
  await assert.rejects(startSeeder(options, never), { code: 'ERR_SI_INTEGRITY' })
})

test('startServer() offers the authority for people to compare, and no key', async (t) => {
  const pkiDirectory = await temporary(t)
  const server = await serve(t, {
    repository: await openRepository(await temporary(t)),
    pkiDirectory,
  })
  const get = (path: string) => fetch(`http://127.0.0.1:${server.httpPort}${path}`)
  assert.equal((await get('/ca.pem')).status, 404)
  await makeCertificates(pkiDirectory)
  const found = await get('/ca.pem')
  assert.equal(await found.text(), await readFile(join(pkiDirectory, 'ca.pem'), 'utf8'))
  assert.match(await (await get('/crl.pem')).text(), /^-----BEGIN X509 CRL-----/)
  for (const path of ['/signer.key', '/ca/ca.key', '/ca.key'])
    assert.equal((await get(path)).status, 404)
})

/** False also while a client has not made the files yet. */
async function isSame(copy: string, image: ImageReference): Promise<boolean> {
  for (const part of ['image.tar.zst', 'manifest.jsonl.zst']) {
    const found = await readFile(join(copy, part)).catch(() => undefined)
    if (found?.equals(await readFile(join(image.directory, part))) !== true) return false
  }
  return true
}

async function setUp(t: TestContext) {
  const directory = join(await temporary(t), 'tree')
  await mkdir(directory)
  await writeFile(join(directory, 'file'), 'content')
  return { directory, repository: await openRepository(await temporary(t)) }
}

async function serve(t: TestContext, options: Partial<ServerOptions>): Promise<RunningServer> {
  const { repository = await openRepository(await temporary(t)) } = options
  const common = { host: '127.0.0.1', httpPort: 0, peerPort: 0, log: silentLog }
  const server = await startServer({ ...common, repository, ...options }, never)
  t.after(() => server.close())
  return server
}

async function put(
  repository: Repository,
  directory: string,
  name: string,
  version: string,
  trackers: readonly string[] = [],
): Promise<ImageReference> {
  const report = await capture(
    {
      source: { type: 'root', directory },
      ...{ repository, name: parseImageName(name), version: parseImageVersion(version), trackers },
      ...{ excludes: [], useDefaultExcludes: true, zstdLevel: 1, threads: 1 },
    },
    silentProgress,
    never,
  )
  return report.image
}

async function fetchTorrent(url: string) {
  const response = await fetch(url)
  assert.equal(response.headers.get('content-type'), 'application/x-bittorrent')
  return parseMetainfo(new Uint8Array(await response.arrayBuffer()))
}

async function failureOf(server: RunningServer, infoHash: string): Promise<string | undefined> {
  const escaped = infoHash.replace(/../g, '%$&')
  const query = `info_hash=${escaped}&peer_id=${'x'.repeat(20)}&port=1&left=1&compact=1`
  const answer = await fetch(`http://127.0.0.1:${server.httpPort}/announce?${query}`)
  return /14:failure reason\d+:(.*)e$/.exec(await answer.text())?.[1]
}

function until(what: string, isTrue: () => boolean): Promise<void> {
  return waitFor(what, isTrue, { deadlineMs: DEADLINE_MS })
}

async function temporary(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'si-server-'))
  t.after(() => rm(directory, { recursive: true, force: true }))
  return directory
}
