// Web servers as sources of pieces: a good one, nginx, and every kind of bad one.
import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { join } from 'node:path'
import { test } from 'node:test'
import { run } from '../../src/host/host.ts'
import { encodeMetainfo } from '../../src/torrent/torrent.ts'
import * as lab from '../lab/lab.ts'
import { createLab, noise, until, within, type Lab } from './swarm-lab.ts'

const LIMIT = { timeout: 60_000 }
const skip = process.getuid?.() === 0 || process.env['CI'] === 'true' ? false : 'needs root'
const SI = join(import.meta.dirname, '../../src/cli/si')

test('si-deploy completes from nginx over the repository alone', { ...LIMIT, skip }, () =>
  lab.withScope(async (scope) => {
    const { directory, signal } = scope
    const source = join(directory, 'source')
    const target = join(directory, 'target')
    const repository = join(directory, 'repository')
    await mkdir(source)
    await mkdir(target)
    await writeFile(join(source, 'bulk'), noise(5_000_000))
    const pki = await lab.makeCertificates(join(directory, 'pki'))
    const capture = ['getimage', '--root', source, '--name', 'web', '--repository', repository]
    const image =
      (await run(SI, [...capture, ...pki], { signal })).stdout.trim().split(' ')[2] ?? ''
    const nginx = await lab.startNginx(scope, repository)
    const webSeed = `${nginx.origin}${image.slice(repository.length)}`
    const deploy = ['deploy', '--torrent', join(image, 'image.torrent'), '--root', target, ...pki]
    const only = ['--web-seed', webSeed, '--host', '127.0.0.1', '--no-local-discovery', '--json']
    const { stdout } = await run(SI, [...deploy, ...only], { signal })
    const report = JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Record<string, number>
    assert.ok((report['fromServerBytes'] ?? 0) > 5_000_000)
    assert.equal(report['badPieces'], 0)
    assert.deepEqual(await lab.compareTrees(source, target, { excludes: [] }), [])
    const accesses = await nginx.accesses()
    assert.ok(accesses.filter((line) => line.startsWith('206 ')).length > 1)
    assert.ok(accesses.every((line) => !line.includes('pad')))
  }),
)

/** Files whose ends lie within pieces, one of them a pad, in a folder with a space in its name. */
function manyFiles(): Promise<Lab> {
  return createLab({
    ...{ sizeBytes: 1_000_000, pieceLengthBytes: 2 ** 16, name: 'my image' },
    files: [
      { path: ['a'], lengthBytes: 100_000 },
      { path: ['b & c', 'd%'], lengthBytes: 20_000 },
      { path: ['.pad', '11072'], lengthBytes: 11_072, isPad: true },
      { path: ['b & c', 'e'], lengthBytes: 1 },
      { path: ['z'], lengthBytes: 868_927 },
    ],
  })
}

test('swarm: pieces that span files and pads come from nginx', LIMIT, () =>
  lab.withScope(async (scope) => {
    await using files = await manyFiles()
    const nginx = await lab.startNginx(scope, files.directory)
    await using getter = await files.get({ webSeeds: [`${nginx.origin}/`] })
    await within(getter.done, 'download')
    assert.ok((await getter.file()).equals(files.content))
    const { fromServerBytes, wastedBytes, peers } = getter.torrent.stats()
    assert.equal(fromServerBytes, 1_000_000)
    assert.equal(wastedBytes, 0)
    assert.deepEqual(peers[0]?.client, 'web seed')
  }),
)

test('swarm: a torrent names its web seeds, and the limit holds for them', LIMIT, () =>
  lab.withScope(async (scope) => {
    await using files = await createLab({ sizeBytes: 2_000_000, pieceLengthBytes: 2 ** 18 })
    const nginx = await lab.startNginx(scope, files.directory)
    const webSeeds = [`${nginx.origin}/payload`, `${nginx.origin}/payload`]
    const bytes = encodeMetainfo({ infoBytes: files.metainfo.infoBytes, webSeeds })
    assert.ok(bytes.length > files.torrentBytes.length)
    const startMs = performance.now()
    await using getter = await files.get({ webSeeds, downloadBytesPerSecond: 1_000_000 })
    assert.equal(getter.torrent.stats().peers.length, 1)
    await within(getter.done, 'download')
    assert.ok(performance.now() - startMs > 1000)
  }),
)

type Behaviour = (request: IncomingMessage, response: ServerResponse, lab: Lab) => void

/** A web server for the lab's one file; `behave` answers instead of a good one. */
async function startOrigin(files: Lab, behave: Behaviour) {
  let count = 0
  const server = createServer((request, response) => {
    count++
    behave(request, response, files)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  return {
    url: `http://127.0.0.1:${port}/`,
    requests: () => count,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

/** As a good server answers; `change` may spoil the body. */
function sendRange(
  request: IncomingMessage,
  response: ServerResponse,
  { content }: Lab,
  change = (body: Buffer) => body,
): void {
  const [, first = '', last = ''] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? []
  const body = Buffer.from(content.subarray(Number(first), Number(last) + 1))
  const headers = {
    'content-range': `bytes ${first}-${last}/${content.length}`,
    'content-length': body.length,
  }
  response.writeHead(206, headers).end(change(body))
}

const BAD: readonly [string, Behaviour, RegExp][] = [
  [
    'sends the whole file',
    (_request, response, { content }) => response.writeHead(200).end(content),
    /does not know ranges/,
  ],
  [
    'has no such file',
    (_request, response) => response.writeHead(404).end('sorry'),
    /HTTP status 404/,
  ],
  [
    'hangs up in the middle',
    (request, response, files) => {
      sendRange(request, response, files, (body) => body.subarray(0, body.length >> 1))
      setImmediate(() => request.socket.destroy())
    },
    /Web seed http/,
  ],
  [
    'redirects for ever',
    (_request, response) => response.writeHead(302, { location: '/again' }).end(),
    /again and again/,
  ],
]
for (const [what, behave, note] of BAD) {
  test(`swarm: a web seed that ${what} pauses and holds nothing up`, LIMIT, async () => {
    await using files = await createLab({ sizeBytes: 4 * 2 ** 20, pieceLengthBytes: 2 ** 18 })
    await using origin = await startOrigin(files, behave)
    await using getter = await files.get({ webSeeds: [origin.url], slots: 2 })
    await until(() => getter.notes.some((text) => note.test(text)), 'a note of what is wrong')
    await until(() => origin.requests() >= 3, 'another attempt')
    await using seeder = await files.seed({ peers: [getter.address] })
    await within(getter.done, 'download')
    assert.ok((await getter.file()).equals(files.content))
    assert.ok(seeder.torrent.stats().uploadedBytes > 0)
    assert.ok(origin.requests() < 50, `${origin.requests()} requests`)
  })
}

test('swarm: a web seed of wrong bytes is asked no more', LIMIT, async () => {
  await using files = await createLab({ sizeBytes: 4 * 2 ** 20, pieceLengthBytes: 2 ** 18 })
  await using origin = await startOrigin(files, (request, response) => {
    sendRange(request, response, files, (body) => body.fill(0))
  })
  await using getter = await files.get({ webSeeds: [origin.url] })
  await until(() => getter.notes.some((text) => text.includes('was wrong')), 'the verdict')
  await until(() => getter.torrent.stats().peers.length === 0, 'the ban')
  const asked = origin.requests()
  await using seeder = await files.seed({ peers: [getter.address] })
  await within(getter.done, 'download')
  assert.ok((await getter.file()).equals(files.content))
  assert.equal(origin.requests(), asked)
  assert.ok(seeder.torrent.stats().uploadedBytes > 0)
})

test('swarm: what a web seed that stalls owes is fetched elsewhere', LIMIT, async () => {
  await using files = await createLab({ sizeBytes: 4 * 2 ** 20, pieceLengthBytes: 2 ** 18 })
  await using origin = await startOrigin(files, (request, response) => {
    const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? []
    const length = Number(range[2]) - Number(range[1]) + 1
    const headers = {
      'content-range': `bytes ${range[1]}-${range[2]}/${files.content.length}`,
      'content-length': length,
    }
    response.writeHead(206, headers).write(Buffer.alloc(1000))
  })
  await using getter = await files.get({ webSeeds: [origin.url], slots: 1 })
  await until(() => getter.torrent.stats().downloadedBytes > 0, 'its first bytes')
  await using seeder = await files.seed({ peers: [getter.address] })
  await within(getter.done, 'download')
  assert.ok((await getter.file()).equals(files.content))
  assert.ok(seeder.torrent.stats().uploadedBytes >= files.content.length)
})

test('swarm: web seeds and peers share the work', LIMIT, async () => {
  await using files = await createLab({ sizeBytes: 16 * 2 ** 20, pieceLengthBytes: 2 ** 18 })
  const serve: Behaviour = (request, response) => sendRange(request, response, files)
  await using first = await startOrigin(files, serve)
  await using second = await startOrigin(files, serve)
  await using seeder = await files.seed()
  const webSeeds = [first.url, second.url]
  await using getter = await files.get({ webSeeds, peers: [seeder.address] })
  await within(getter.done, 'download')
  assert.ok((await getter.file()).equals(files.content))
  assert.ok(first.requests() > 0 && second.requests() > 0)
  assert.equal(getter.torrent.stats().badPieces, 0)
})
