// A site with TLS as an administrator sets it up: init, issue, serve, deploy; and what strangers get to see.
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { parseMetainfo } from '../../src/torrent/torrent.ts'
import { waitFor } from '../lab/scope.ts'

const SI = join(import.meta.dirname, '../../src/cli/si')
const isRoot = process.getuid?.() === 0 || process.env['CI'] === 'true'
const skip = isRoot ? false : 'capture and deploy need root'

function run(program: string, ...args: readonly string[]) {
  return spawnSync(program, args, { encoding: 'utf8', timeout: 60_000 })
}

/** Fails unless it ends well. */
function si(...args: readonly string[]): string {
  const { status, stdout, stderr } = run(SI, ...args)
  assert.equal(status, 0, `si ${args.join(' ')}: ${stderr}`)
  return stdout
}

interface Site {
  readonly folder: string
  /** Of the image server, and of a node. */
  readonly pki: string
  readonly nodePki: string
  /** `https://127.0.0.1:PORT` */
  readonly url: string
  readonly lines: readonly string[]
}

/** `si-server --tls` with one signed image, `web`, and a node's certificate beside ca.pem. */
async function makeSite(t: TestContext, ...serverArgs: readonly string[]): Promise<Site> {
  const folder = await mkdtemp(join(tmpdir(), 'si-tls-site-'))
  t.after(() => rm(folder, { recursive: true }))
  const [pki, nodePki, tree] = [join(folder, 'pki'), join(folder, 'node'), join(folder, 'tree')]
  await mkdir(tree)
  await mkdir(nodePki)
  await writeFile(join(tree, 'file'), 'content')
  si('server', 'init', '--pki', pki)
  const prefix = join(nodePki, 'node')
  si('ca', 'issue', '--ca', join(pki, 'ca'), '--role', 'node', '--name', 'node01', '--out', prefix)
  await copyFile(join(pki, 'ca.pem'), join(nodePki, 'ca.pem'))
  const repository = ['--repository', join(folder, 'repository')]
  si('getimage', '--root', tree, '--name', 'web', '--pki', pki, ...repository)
  const ports = ['--http-port', '0', '--peer-port', '0', '--host', '127.0.0.1']
  const args = ['server', '--tls', '--pki', pki, ...repository, ...ports, ...serverArgs]
  const server = spawn(SI, args, { stdio: ['ignore', 'ignore', 'pipe'] })
  const exited = once(server, 'exit')
  t.after(async () => {
    server.kill('SIGINT')
    await exited
  })
  let text = ''
  server.stderr.setEncoding('utf8').on('data', (part: string) => (text += part))
  const port = () => /on https:\/\/127\.0\.0\.1:(\d+)\//.exec(text)?.[1]
  await waitFor('the server', () => Promise.resolve(port() !== undefined), { deadlineMs: 20_000 })
  const url = `https://127.0.0.1:${port()}`
  return {
    ...{ folder, pki, nodePki, url },
    get lines() {
      return text.split('\n')
    },
  }
}

/** Status and body of a request. */
function curl(...args: readonly string[]): string {
  return run('curl', '-sk', '-w', ' %{http_code}', ...args).stdout
}

test('si-deploy --tls fetches torrent and image from si-server --tls', { skip }, async (t) => {
  const { folder, nodePki, url } = await makeSite(t)
  const target = join(folder, 'target')
  await mkdir(target)
  const torrent = `${url}/images/web/img.torrent`
  si('deploy', '--torrent', torrent, '--root', target, '--tls', '--pki', nodePki)
  assert.equal(await readFile(join(target, 'file'), 'utf8'), 'content')
  const own = ['--cert', join(nodePki, 'node.pem'), '--key', join(nodePki, 'node.key')]
  const path = join(folder, 'img.torrent')
  run('curl', '-sk', ...own, '-o', path, torrent)
  assert.deepEqual(parseMetainfo(await readFile(path)).trackers, [[`${url}/announce`]])
})

test('si-deploy --report tells the image server how it ended', { skip }, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'si-report-'))
  t.after(() => rm(folder, { recursive: true }))
  const cluster = join(folder, 'cluster.yaml')
  await writeFile(cluster, 'defaults: { image: web, boot: install }\nhosts: { node01: }\n')
  const { nodePki, url } = await makeSite(t, '--cluster', cluster)
  const own = ['--cert', join(nodePki, 'node.pem'), '--key', join(nodePki, 'node.key')]
  const seen = () =>
    JSON.parse(curl(...own, `${url}/v1/nodes/node01`).replace(/ 200$/, '')) as object
  const from = ['--torrent', `${url}/images/web/img.torrent`, '--tls', '--pki', nodePki]
  const report = ['--report', `${url}/`, '--host-name', 'node01']
  const wrong = run(SI, 'deploy', ...from, ...report, '--root', folder)
  assert.notEqual(wrong.status, 0)
  assert.match(JSON.stringify(seen()), /"boot":"install".*"phase":"failed".*not empty/)
  const target = join(folder, 'target')
  await mkdir(target)
  si('deploy', ...from, ...report, '--root', target)
  assert.match(JSON.stringify(seen()), /"boot":"local".*"phase":"done".*web\/\S+ is installed/)
  const elsewhere = run(
    SI,
    'deploy',
    ...from,
    '--report',
    url,
    '--host-name',
    'x',
    '--root',
    folder,
  )
  assert.match(elsewhere.stderr, /does not take the report: 403 .*Cannot speak for x|404/)
})

test('si-server --tls shows ca.pem to everybody, and nothing else', { skip }, async (t) => {
  const { pki, nodePki, url } = await makeSite(t)
  assert.equal(curl(`${url}/ca.pem`), `${await readFile(join(pki, 'ca.pem'), 'utf8')} 200`)
  const hash = '%00'.repeat(20)
  const announce = `${url}/announce?info_hash=${hash}&peer_id=${hash}&port=1&left=0&uploaded=0&downloaded=0`
  for (const path of [`${url}/images/web/img.torrent`, `${url}/`, `${url}/x/../images`, announce]) {
    assert.match(curl(path), /ERR_SI_UNTRUSTED.*shows no certificate.* 403$/, path)
  }
  const own = ['--cert', join(nodePki, 'node.pem'), '--key', join(nodePki, 'node.key')]
  assert.match(curl(...own, `${url}/health`), /ok.* 200$/)
  assert.match(curl(...own, announce), /unknown torrent.* 200$/)
  const signer = ['--cert', join(pki, 'signer.pem'), '--key', join(pki, 'signer.key')]
  assert.match(curl(...signer, `${url}/health`), /role node or image-server.* 403$/)
  assert.match(curl(url.replace('https', 'http')), /speaks HTTPS only.* 400$/)
})

test('si-server --tls refuses a node from when it is revoked', { skip }, async (t) => {
  const site = await makeSite(t)
  const { pki, nodePki, url } = site
  const own = ['--cert', join(nodePki, 'node.pem'), '--key', join(nodePki, 'node.key')]
  assert.match(curl(...own, `${url}/health`), / 200$/)
  si('ca', 'revoke', '--ca', join(pki, 'ca'), 'node/node01')
  const isRefused = () => Promise.resolve(/was revoked.* 403$/.test(curl(...own, `${url}/health`)))
  await waitFor('being refused', isRefused, { deadlineMs: 60_000 })
  const isTold = () =>
    site.lines.some((line) => /Refused caller 127.0.0.1:\d+: .*node01 was revoked/.test(line))
  await waitFor('a line that says so', () => Promise.resolve(isTold()), { deadlineMs: 10_000 })
})

test(
  'si-deploy without --tls, or to another server, is told what is missing',
  { skip },
  async (t) => {
    const { folder, pki, nodePki, url } = await makeSite(t)
    const target = join(folder, 'target')
    const torrent = `${url}/images/web/img.torrent`
    const deploy = (...args: readonly string[]) =>
      run(SI, 'deploy', '--root', target, '--pki', nodePki, ...args)
    assert.match(deploy('--torrent', torrent).stderr, /Cannot read torrent https.*certificate/)
    const plain = deploy('--torrent', torrent.replace('https', 'http'), '--tls')
    assert.match(plain.stderr, /it is not https, which --tls asks for/)
    await rm(join(nodePki, 'node.pem'))
    const without = deploy('--torrent', torrent, '--tls')
    assert.match(
      without.stderr,
      /Cannot use TLS: .*node\.pem is not there\n.*si-ca issue --role node/,
    )
    const signer = deploy('--torrent', torrent, '--tls', '--certificate', join(pki, 'signer.pem'))
    assert.match(signer.stderr, /does not have the role node or image-server; its role: signer/)
    assert.equal(signer.status, 1)
    const useless = deploy('--torrent', torrent, '--tls-allow-plain')
    assert.equal(useless.status, 2)
  },
)

test('si-server --tls-allow-plain serves nodes with and without TLS', { skip }, async (t) => {
  const { folder, nodePki, url } = await makeSite(t, '--tls-allow-plain')
  const plain = url.replace('https', 'http')
  for (const [name, base, flags] of [
    ['secure', url, ['--tls']],
    ['plain', plain, []],
  ] as const) {
    const target = join(folder, name)
    await mkdir(target)
    const torrent = `${base}/images/web/img.torrent`
    si('deploy', '--torrent', torrent, '--root', target, '--pki', nodePki, ...flags)
    assert.equal(await readFile(join(target, 'file'), 'utf8'), 'content')
  }
})
