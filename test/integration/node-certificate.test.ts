// How a bare machine comes to talk by TLS: boot files in the clear, then a certificate of its own, then everything else.
// Over real HTTPS on loopback, with the very client of the initramfs.
import assert from 'node:assert/strict'
import { mkdir, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { openClusterSource, openNodeStore } from '../../src/cluster/cluster.ts'
import { enrol } from '../../src/netboot/node/enrolment.ts'
import { createReporter } from '../../src/netboot/node/reporter.ts'
import { ServerUnreachable } from '../../src/netboot/node/server-request.ts'
import { askForOrders, askForTime } from '../../src/netboot/node/server-client.ts'
import { loadSigner, loadTrust, openAuthority, openCredentials } from '../../src/pki/pki.ts'
import { openRepository } from '../../src/repository/repository.ts'
import { silentLog, startServer } from '../../src/server/server.ts'
import { makeCertificates } from '../lab/certificates.ts'
import { withScope, type Scope } from '../lab/scope.ts'

const CLUSTER = `
defaults: { image: web }
hosts:
  n1: { mac: "52:54:00:00:00:01", boot: install }
  n2: { mac: "52:54:00:00:00:02", boot: local }
`
const N1 = { mac: '52:54:00:00:00:01', uuid: undefined, name: undefined }
const N2 = { ...N1, mac: '52:54:00:00:00:02' }
const FACTS = { image: 'web', version: '1', kernel: '6.1', madeAt: '', parameters: '' }

interface SiteOptions {
  readonly issues?: boolean
}

async function serve(scope: Scope, t: TestContext, { issues = true }: SiteOptions = {}) {
  const below = (name: string) => join(scope.directory, name)
  const pki = below('pki')
  await makeCertificates(pki)
  const server = { certificateFile: join(pki, 'server.pem'), keyFile: join(pki, 'server.key') }
  const trustFiles = [join(pki, 'ca.pem')]
  const credentials = await openCredentials(
    { ...server, passphraseFile: undefined, trustFiles, crlFiles: [] },
    { roles: ['image-server'] },
  )
  t.after(() => credentials.close())
  await writeFile(below('cluster.yaml'), CLUSTER)
  await mkdir(below('boot/web'), { recursive: true })
  await writeFile(below('boot/web/boot.json'), JSON.stringify(FACTS))
  await writeFile(below('boot/web/vmlinuz'), 'kernel')
  const signer = { certificateFile: join(pki, 'signer.pem'), keyFile: join(pki, 'signer.key') }
  const authority = await openAuthority(join(pki, 'ca'))
  const running = await startServer(
    {
      ...{ host: '127.0.0.1', httpPort: 0, peerPort: 0, log: silentLog, pkiDirectory: pki },
      repository: await openRepository(below('repository')),
      bootDirectory: below('boot'),
      nodes: {
        cluster: openClusterSource(below('cluster.yaml'), assert.fail),
        store: openNodeStore(below('nodes')),
        signer: await loadSigner(signer),
      },
      issue: issues ? { authority, passphraseFile: undefined } : undefined,
      security: { credentials, allowsPlain: false },
    },
    scope.signal,
  )
  t.after(() => running.close())
  const host = `127.0.0.1:${running.httpPort}`
  const how = { trustFiles, directory: below('node'), say: () => {}, signal: scope.signal }
  return { below, how, authority, plain: `http://${host}`, secure: `https://${host}` }
}

const inScope = (body: (scope: Scope, t: TestContext) => Promise<void>) => (t: TestContext) =>
  withScope((scope) => body(scope, t))

test(
  'enrol() gets a certificate with which a machine asks and reports, in its own name alone',
  inScope(async (scope, t) => {
    const { below, how, secure, authority } = await serve(scope, t)
    const { credentials, crlFiles } = await enrol(secure, { ...how, identity: N1 })
    t.after(() => credentials.close())
    assert.equal((await stat(below('node/node.key'))).mode & 0o777, 0o600)
    assert.equal(crlFiles.length, 1, 'what was revoked comes with it')
    const [record] = (await authority.list()).slice(-1)
    const days = (Date.parse(record?.notAfter ?? '') - Date.now()) / 86_400_000
    assert.deepEqual([record?.role, record?.name, Math.round(days)], ['node', 'n1', 1])
    const server = { url: secure, callOptions: () => credentials.callOptions() }
    const { trustFiles, signal } = how
    const trust = await loadTrust({ trustFiles, crlFiles, allowUnsigned: false })
    const found = await askForOrders(server, N1, { trust, signal })
    assert.equal(found?.orders.host, 'n1')
    const other = askForOrders(server, N2, { trust, signal })
    await assert.rejects(other, /Cannot speak for n2 with a certificate of node\/n1/)
    const said: string[] = []
    const say = (text: string) => void said.push(text)
    const done = { phase: 'done', percent: 100, message: '' }
    await createReporter(server, 'n1', { say, signal }).deliver(done)
    assert.deepEqual(said, [])
    const again = enrol(secure, { ...how, identity: N1 })
    await assert.rejects(again, /n1 is not to be installed/, 'it is installed, and gets no more')
  }),
)

test(
  'enrol() may be tried again for a host that is not to be installed, and says how to change that',
  inScope(async (scope, t) => {
    const { how, secure } = await serve(scope, t)
    await assert.rejects(enrol(secure, { ...how, identity: N2 }), {
      constructor: ServerUnreachable,
      message:
        /issues no certificate: n2 is not to be installed \(On the image server: si-netboot n2 install\)/,
    })
  }),
)

test(
  'enrol() says what a server needs that issues no certificates',
  inScope(async (scope, t) => {
    const { how, secure } = await serve(scope, t, { issues: false })
    await assert.rejects(enrol(secure, { ...how, identity: N1 }), {
      message: /Start it with --issue-to-nodes, which needs the authority on it/,
    })
  }),
)

test(
  'enrol() asks no server of another authority, and does not wait for it',
  inScope(async (scope, t) => {
    const { below, how, secure } = await serve(scope, t)
    await makeCertificates(below('others'))
    const trustFiles = [below('others/ca.pem')]
    await assert.rejects(enrol(secure, { ...how, trustFiles, identity: N1 }), {
      code: 'ERR_SI_UNTRUSTED',
      message: /^Cannot trust https:/,
    })
  }),
)

test(
  'askForTime() hears the time of a server whose certificate cannot be judged yet',
  inScope(async (scope, t) => {
    const { secure, how } = await serve(scope, t)
    const timeMs = await askForTime(secure, how.signal)
    assert.ok(Math.abs((timeMs ?? 0) - Date.now()) < 10_000)
  }),
)

test(
  'a server with TLS gives boot files to firmware in the clear, and nothing else',
  inScope(async (scope, t) => {
    const { plain } = await serve(scope, t)
    const script = await (await fetch(`${plain}/boot/ipxe?mac=${N1.mac}`)).text()
    const port = new URL(plain).port
    assert.match(script, new RegExp(`kernel http://127.0.0.1:${port}/boot/web/vmlinuz `))
    assert.match(script, new RegExp(` si\\.server=https://127.0.0.1:${port} `))
    assert.equal(await (await fetch(`${plain}/boot/web/vmlinuz`)).text(), 'kernel')
    for (const path of ['/v1/node?mac=x', '/v1/nodes', '/images', '/', '/boot/../images']) {
      assert.equal((await fetch(plain + path)).status, 400, path)
    }
    const body = JSON.stringify({ mac: N1.mac, request: '' })
    const headers = { 'content-type': 'application/json' }
    const asked = await fetch(`${plain}/v1/certificate`, { method: 'POST', body, headers })
    assert.equal(asked.status, 400)
    assert.match(await asked.text(), /write https:/)
  }),
)
