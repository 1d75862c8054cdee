// What strangers may do to a swarm with TLS before they have shown who they are.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect as connectPlain } from 'node:net'
import { test } from 'node:test'
import { connect } from 'node:tls'
import { run } from '../../src/host/host.ts'
import { PEER_ALPN } from '../../src/swarm/connection/tls-socket.ts'
import { createTlsSite } from '../lab/tls-site.ts'
import { failOnLeaks } from './descriptors.ts'
import { createLab, until, within } from './swarm-lab.ts'
import {
  call,
  greetingFor,
  hasNote,
  secureSeeder,
  securityOf,
  shows,
  SIZE,
  whatCame,
} from './tls-strangers.ts'

const LIMIT = { timeout: 60_000 }

failOnLeaks()

test('a session is not taken up again: its certificate has to be shown again', LIMIT, async () => {
  await using site = await createTlsSite()
  await using lab = await createLab(SIZE)
  await using seeder = await secureSeeder(lab, site)
  const first = connect({
    ...{ host: '127.0.0.1', port: seeder.swarm.port, ALPNProtocols: [PEER_ALPN] },
    ...{ rejectUnauthorized: false, ...shows(await site.issue('node', 'node01')) },
  })
  await within(once(first, 'secureConnect'), 'handshake')
  first.write(greetingFor(lab))
  await within(once(first, 'data'), 'greeting') // what follows the handshake has come, too
  const session = first.getSession()
  first.destroy()
  assert.ok(session)
  assert.equal((await call(lab, seeder, { session })).length, 0)
  await until(() => hasNote(seeder, /it shows no certificate/), seeder.notes.join())
})

test('garbage behind the first byte of TLS ends the connection', LIMIT, async () => {
  await using site = await createTlsSite()
  await using lab = await createLab(SIZE)
  await using seeder = await secureSeeder(lab, site)
  for (const bytes of [Buffer.alloc(70_000, 0x16), Buffer.from('16030100050102030405', 'hex')]) {
    const socket = connectPlain(seeder.swarm.port, '127.0.0.1')
    socket.write(bytes)
    await whatCame(socket)
  }
  await until(() => hasNote(seeder, /TLS/), seeder.notes.join())
})

test('half-open handshakes of one host keep nobody else out', LIMIT, async () => {
  await using site = await createTlsSite()
  await using lab = await createLab(SIZE)
  await using seeder = await lab.seed({ security: await securityOf(site, 'server'), host: '::' })
  const flood = Array.from({ length: 700 }, () => {
    const socket = connectPlain({
      port: seeder.swarm.port,
      host: '127.0.0.1',
      localAddress: '127.0.0.2',
    })
    socket.on('error', () => {}).write(Buffer.from([0x16, 3, 1]))
    return socket
  })
  const security = await securityOf(site, 'node01')
  await using getter = await lab.get({ security, peers: [seeder.address] })
  await within(getter.done, 'download')
  const isClosed = () => flood.filter((socket) => socket.closed).length >= 700 - 512
  await until(isClosed, 'the oldest to be closed')
  for (const socket of flood) socket.destroy()
})

test(
  'openssl is asked for a certificate, and shown the authority it has to be of',
  LIMIT,
  async () => {
    await using site = await createTlsSite()
    await using lab = await createLab(SIZE)
    await using seeder = await secureSeeder(lab, site)
    const args = [
      's_client',
      '-connect',
      seeder.address,
      '-alpn',
      PEER_ALPN,
      '-CAfile',
      site.caFile,
    ]
    const { stdout } = await run('openssl', args, { okExitCodes: [0, 1] })
    assert.match(stdout, /Acceptable client certificate CA names\s+.*CN ?= ?lab/)
    assert.match(stdout, /Verify return code: 0 \(ok\)/)
    await until(() => hasNote(seeder, /it shows no certificate/), seeder.notes.join())
  },
)
