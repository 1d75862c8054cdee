// What nodes ask of the image server and tell it, over real HTTP.
import assert from 'node:assert/strict'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import {
  DONE_PHASE,
  FAILED_PHASE,
  nodeAnswerSchema,
  openAnswer,
  openClusterSource,
  openNodeStore,
  SIGNATURE_HEADER,
} from '../../src/cluster/cluster.ts'
import { run } from '../../src/host/host.ts'
import { loadSigner, loadTrust, type Identity } from '../../src/pki/pki.ts'
import { silentLog, startServer, type ServerOptions } from '../../src/server/server.ts'
import { makeCertificates, UNSIGNED } from '../lab/certificates.ts'
import { withScope, type Scope } from '../lab/scope.ts'
import { captureTree, makeRepository, makeTree } from './repository-sample.ts'

const isRoot = process.getuid?.() === 0 || process.env['CI'] === 'true'
const skip = isRoot ? false : 'capture needs root'

const CLUSTER = `
defaults: { image: web, boot: install, overrides: all }
hosts:
  n1: { mac: "52:54:00:00:00:01", postInstall: hello.sh }
  n2: { mac: "52:54:00:00:00:02", image: missing }
`

type NodeOptions = NonNullable<ServerOptions['nodes']>

interface Site {
  readonly base: string
  readonly directory: string
  readonly faults: string[]
  /** Sends JSON, or text as it is. */
  post(path: string, body: unknown): Promise<Response>
  json(path: string): Promise<Record<string, unknown>>
}

/** A server whose repository holds web/1 and override-all/1. */
async function serve(
  scope: Scope,
  t: TestContext,
  options: Partial<NodeOptions> = {},
): Promise<Site> {
  const repository = await makeRepository(scope)
  const tree = await makeTree(scope, { 'etc/motd': 'hello' })
  for (const name of ['web', 'override-all']) {
    await captureTree(repository, tree, { name, version: '1' })
  }
  const directory = scope.directory
  const file = join(directory, 'cluster.yaml')
  await writeFile(file, CLUSTER)
  await writeFile(join(directory, 'hello.sh'), 'echo hello\n')
  const faults: string[] = []
  const nodes = {
    cluster: openClusterSource(file, (message) => faults.push(message)),
    store: openNodeStore(join(directory, 'nodes')),
    signer: undefined,
    ...options,
  }
  const place = { host: '127.0.0.1', httpPort: 0, peerPort: 0, log: silentLog }
  const server = await startServer({ ...place, repository, nodes }, scope.signal)
  t.after(() => server.close())
  const base = `http://127.0.0.1:${server.httpPort}`
  return {
    ...{ base, directory, faults },
    post(path, body) {
      const isText = typeof body === 'string'
      const headers = { 'content-type': isText ? 'text/plain' : 'application/json' }
      const text = isText ? body : JSON.stringify(body)
      return fetch(base + path, { method: 'POST', headers, body: text })
    },
    json: async (path) => (await (await fetch(base + path)).json()) as Record<string, unknown>,
  }
}

const inScope = (body: (scope: Scope, t: TestContext) => Promise<void>) => (t: TestContext) =>
  withScope((scope) => body(scope, t))

test(
  'GET /v1/node tells a node its configuration and where its torrents are',
  { skip },
  inScope(async (scope, t) => {
    const { base, json } = await serve(scope, t)
    const node = nodeAnswerSchema.parse(await json('/v1/node?mac=52-54-00-00-00-01&nonce=x'))
    assert.equal(node.host, 'n1')
    assert.equal(node.boot, 'install')
    assert.equal(node.torrent, `${base}/images/web/1/img.torrent`)
    assert.deepEqual(node.overrideTorrents, [`${base}/images/override-all/1/img.torrent`])
    assert.deepEqual(node.postInstall, [{ name: 'hello.sh', text: 'echo hello\n' }])
    assert.equal((await fetch(node.torrent ?? '')).status, 200)
  }),
)

test(
  'GET /v1/node says that an image is not there, and knows no strangers',
  { skip },
  inScope(async (scope, t) => {
    const { base, json } = await serve(scope, t)
    assert.equal((await json('/v1/node?name=n2'))['torrent'], null)
    const stranger = await fetch(`${base}/v1/node?mac=aa:aa:aa:aa:aa:aa`)
    assert.equal(stranger.status, 404)
    const { code, hint } = (await stranger.json()) as Record<string, string>
    assert.equal(code, 'ERR_SI_NODE_UNKNOWN')
    assert.match(hint ?? '', /Add it under hosts/)
    assert.equal((await fetch(`${base}/v1/node?mag=x`)).status, 400)
  }),
)

test(
  'openAnswer() takes what a signer signed for this question, and nothing else',
  { skip },
  inScope(async (scope, t) => {
    const pki = join(scope.directory, 'pki')
    await makeCertificates(pki)
    const [certificateFile, keyFile] = [join(pki, 'signer.pem'), join(pki, 'signer.key')]
    const { base } = await serve(scope, t, {
      signer: await loadSigner({ certificateFile, keyFile }),
    })
    const trust = await loadTrust({
      ...{ trustFiles: [join(pki, 'ca.pem')], crlFiles: [], allowUnsigned: false },
    })
    const response = await fetch(`${base}/v1/node?name=n1&nonce=7`)
    const body = new Uint8Array(await response.arrayBuffer())
    const signature = response.headers.get(SIGNATURE_HEADER) ?? undefined
    const { answer, verdict } = await openAnswer({ body, signature, nonce: '7' }, trust)
    assert.equal(answer.host, 'n1')
    assert.equal(verdict.signer, 'server')
    const isUntrusted = { code: 'ERR_SI_UNTRUSTED' }
    const changed = Uint8Array.from(body)
    changed[10] = (changed[10] ?? 0) ^ 1
    await assert.rejects(openAnswer({ body: changed, signature, nonce: '7' }, trust), isUntrusted)
    await assert.rejects(openAnswer({ body, signature, nonce: '8' }, trust), isUntrusted)
    await assert.rejects(openAnswer({ body, signature: undefined, nonce: '7' }, trust), isUntrusted)
    const doubted = await openAnswer({ body, signature: undefined, nonce: '7' }, UNSIGNED)
    assert.equal(doubted.verdict.signer, null)
  }),
)

test(
  'a report of success switches the node to local boot, one of a failure does not',
  { skip },
  inScope(async (scope, t) => {
    const { post, json, directory } = await serve(scope, t)
    const failed = { phase: DONE_PHASE, error: 'no disk' }
    assert.equal((await post('/v1/nodes/n1/report', failed)).status, 204)
    assert.equal((await json('/v1/node?name=n1'))['boot'], 'install')
    const done = { phase: DONE_PHASE, percent: 100, message: 'installed', log: 'all is well\n' }
    assert.equal((await post('/v1/nodes/N1/report', done)).status, 204)
    assert.equal((await json('/v1/node?name=n1'))['boot'], 'local')
    // What the server knows survives it.
    const later = openNodeStore(join(directory, 'nodes'))
    assert.equal(await later.bootOf('n1'), 'local')
    assert.equal((await later.reportOf('n1'))?.message, 'installed')
    assert.equal(await readFile(join(directory, 'nodes/n1/log'), 'utf8'), 'all is well\n')
  }),
)

test(
  'GET /v1/nodes lists all hosts with their last report',
  { skip },
  inScope(async (scope, t) => {
    const { post, base } = await serve(scope, t)
    await post('/v1/nodes/n2/report', { phase: 'writing', percent: 40, message: 'half' })
    const nodes = (await (await fetch(`${base}/v1/nodes`)).json()) as Record<string, unknown>[]
    assert.deepEqual(
      nodes.map(({ host, boot }) => ({ host, boot })),
      ['n1', 'n2'].map((host) => ({ host, boot: 'install' })),
    )
    assert.equal(nodes[0]?.['report'], null)
    const { receivedAt, ...report } = nodes[1]?.['report'] as Record<string, unknown>
    assert.deepEqual(report, { phase: 'writing', percent: 40, message: 'half' })
    assert.match(String(receivedAt), /^\d{4}-\d\d-\d\dT/)
  }),
)

test(
  'a report of a failure keeps code, cause and remedy, and si-netboot shows them',
  { skip },
  inScope(async (scope, t) => {
    const { post, json, directory } = await serve(scope, t)
    const error = 'Cannot deploy image "web" to /dev/sda: it is too small'
    const hint = 'Deploy to a larger disk'
    const code = 'ERR_SI_TARGET_FULL'
    const sent = { phase: FAILED_PHASE, percent: null, message: error, error, code, hint }
    assert.equal((await post('/v1/nodes/n1/report', sent)).status, 204)
    const { report } = await json('/v1/nodes/n1')
    const { receivedAt, ...kept } = report as Record<string, unknown>
    assert.deepEqual(kept, sent)
    const si = join(import.meta.dirname, '../../src/cli/si')
    const where = [
      '--cluster',
      join(directory, 'cluster.yaml'),
      '--nodes',
      join(directory, 'nodes'),
    ]
    const { stdout } = await run(si, ['netboot', 'n1', ...where])
    const at = String(receivedAt).slice(0, 19).replace('T', ' ')
    assert.match(stdout, new RegExp(`^n1 +install +failed ${code} +${at}$`, 'm'))
    assert.ok(stdout.endsWith(`\nn1: ${error}\n  ${hint}\n`), stdout)
    assert.equal((await post('/v1/nodes/n1/report', { phase: 'x', code: 'what' })).status, 400)
  }),
)

test(
  'the server bounds what a node may send, and takes nothing from hosts that it does not know',
  { skip },
  inScope(async (scope, t) => {
    const { post, directory } = await serve(scope, t)
    const report = '/v1/nodes/n1/report'
    assert.equal((await post(report, { phase: 'x', percent: 101 })).status, 400)
    assert.equal((await post(report, { phase: 'x', more: 1 })).status, 400)
    assert.equal((await post(report, { phase: 'x', message: 'x'.repeat(300_000) })).status, 413)
    assert.equal((await post('/v1/nodes/n1/log', 'x'.repeat(2 ** 20 + 1))).status, 413)
    for (const host of ['n3', '..', '..%2f..', 'n1%00']) {
      assert.equal((await post(`/v1/nodes/${host}/log`, 'x')).status, 404, host)
    }
    const statuses = new Set<number>()
    for (let call = 0; call < 120; call++) statuses.add((await post(report, { phase: 'x' })).status)
    assert.deepEqual([...statuses].sort(), [204, 429])
    assert.equal((await post('/v1/nodes/n2/report', { phase: 'x' })).status, 204)
    await assert.rejects(readFile(join(directory, 'nodes/n3/log')), { code: 'ENOENT' })
  }),
)

test(
  'the log of a node keeps its last megabytes',
  { skip },
  inScope(async (scope, t) => {
    const { post, directory } = await serve(scope, t)
    for (let part = 0; part < 9; part++) await post('/v1/nodes/n1/log', `${part}`.repeat(2 ** 20))
    const [log, old] = await Promise.all(
      ['log', 'log.old'].map((name) => readFile(join(directory, 'nodes/n1', name), 'utf8')),
    )
    assert.ok((log?.length ?? 0) + (old?.length ?? 0) <= 10 * 2 ** 20)
    assert.ok((log ?? '').endsWith('8') || (old ?? '').endsWith('8'))
  }),
)

test(
  'a node with a certificate speaks for itself alone',
  { skip },
  inScope(async (scope, t) => {
    let identity: Identity | undefined = { role: 'node', name: 'n1' }
    const { post, base } = await serve(scope, t, { identityOf: () => identity })
    const report = { phase: DONE_PHASE }
    assert.equal((await post('/v1/nodes/n1/report', report)).status, 204)
    assert.equal((await post('/v1/nodes/n2/report', report)).status, 403)
    assert.equal((await fetch(`${base}/v1/node?mac=52:54:00:00:00:02`)).status, 403)
    identity = undefined
    const refused = await post('/v1/nodes/n1/log', 'x')
    assert.equal(refused.status, 403)
    assert.match(await refused.text(), /si-ca issue --role node --name n1/)
  }),
)

test(
  'a change of cluster.yaml holds at once, and one with a fault not at all',
  { skip },
  inScope(async (scope, t) => {
    const { json, directory, faults } = await serve(scope, t)
    const file = join(directory, 'cluster.yaml')
    await writeFile(file, CLUSTER.replace('image: missing', 'image: web'))
    assert.match(String((await json('/v1/node?name=n2'))['torrent']), /images\/web\/1\//)
    await writeFile(file, `${CLUSTER}  n3: { mak: x }\n`)
    assert.match(String((await json('/v1/node?name=n2'))['torrent']), /images\/web\/1\//)
    await json('/v1/node?name=n2')
    assert.equal(faults.length, 1)
    assert.match(faults[0] ?? '', /unknown key "mak".*still holds/)
    await writeFile(join(directory, 'hello.sh'), 'echo bye\n')
    await writeFile(file, CLUSTER)
    const { postInstall } = await json('/v1/node?name=n1')
    assert.deepEqual(postInstall, [{ name: 'hello.sh', text: 'echo bye\n' }])
  }),
)

test(
  'openNodeStore() does not take a file that was cut off for a choice',
  inScope(async ({ directory }) => {
    await mkdir(join(directory, 'n1'))
    await writeFile(join(directory, 'n1/boot.json'), '{"boot":"install"')
    assert.equal(await openNodeStore(directory).bootOf('n1'), undefined)
  }),
)
