// Swarms whose peers prove who they are: what is let in, what is not, and that a line says why.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { type AddressInfo } from 'node:net'
import { test } from 'node:test'
import { connect, createServer, type ConnectionOptions, type TLSSocket } from 'node:tls'
import { PEER_ALPN } from '../../src/swarm/connection/tls-socket.ts'
import { createTlsSite, type TlsSite } from '../lab/tls-site.ts'
import { failOnLeaks } from './descriptors.ts'
import { createLab, until, within, type Member } from './swarm-lab.ts'
import { call, hasNote, secureSeeder, securityOf, shows, SIZE } from './tls-strangers.ts'

const LIMIT = { timeout: 60_000 }

failOnLeaks()

for (const lanes of [1, 2]) {
  test(`a swarm with TLS completes through ${lanes} lane(s), no piece is bad`, LIMIT, async () => {
    await using site = await createTlsSite()
    await using lab = await createLab(SIZE)
    await using seeder = await secureSeeder(lab, site, { lanes })
    await using other = await secureSeeder(lab, site)
    const security = await securityOf(site, 'node01')
    const peers = [other.address, seeder.address]
    await using getter = await lab.get({ lanes, security, peers })
    await within(getter.done, 'download')
    assert.ok((await getter.file()).equals(lab.content))
    assert.equal(getter.torrent.stats().badPieces, 0)
    assert.deepEqual(getter.notes, [])
  })
}

interface Stranger {
  readonly title: string
  readonly reason: RegExp
  /** By the authority of the swarm, unless `foreign` is taken. */
  show(own: TlsSite, foreign: TlsSite): Promise<ConnectionOptions>
}

const STRANGERS: readonly Stranger[] = [
  {
    title: 'a certificate of another authority',
    reason: /no trusted authority issued the certificate/,
    show: async (_, foreign) => shows(await foreign.issue('node', 'stranger')),
  },
  {
    title: 'an expired certificate',
    reason: /node[/]stranger expired on /,
    show: async (own) => shows(await own.issue('node', 'stranger', 50)),
  },
  {
    title: 'a certificate that is not yet valid',
    reason: /node[/]stranger is not yet valid/,
    show: async (own) => shows(await own.issue('node', 'stranger', -50)),
  },
  {
    title: 'a revoked certificate',
    reason: /node[/]stranger was revoked on /,
    async show(own) {
      const issued = await own.issue('node', 'stranger')
      await revoke(own, 'node/stranger')
      return shows(issued)
    },
  },
  {
    title: 'a certificate of the role signer',
    reason: /does not have the role node or image-server; its role: signer/,
    show: async (own) => shows(await own.issue('signer', 'stranger')),
  },
  {
    title: 'TLS 1.2',
    reason: /does not speak TLS 1.3/,
    show: async (own) => ({
      ...shows(await own.issue('node', 'stranger')),
      ...{ minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' },
    }),
  },
  {
    title: 'another protocol in its ALPN',
    reason: /does not speak swarmimager[/]1 over TLS/,
    show: async (own) => ({
      ...shows(await own.issue('node', 'stranger')),
      ALPNProtocols: ['gridfs/1'],
    }),
  },
]

async function revoke(site: TlsSite, which: string): Promise<void> {
  await site.authority.revoke(which, {
    reason: 'keyCompromise',
    days: 30,
    passphraseFile: undefined,
  })
}

for (const { title, reason, show } of STRANGERS) {
  test(`a swarm with TLS refuses a caller with ${title}, and says so`, LIMIT, async () => {
    await using site = await createTlsSite()
    await using foreign = await createTlsSite('foreign')
    await using lab = await createLab(SIZE)
    const options = await show(site, foreign)
    await using seeder = await secureSeeder(lab, site)
    assert.equal((await call(lab, seeder, options)).length, 0)
    await until(() => hasNote(seeder, reason), `${reason} in ${seeder.notes.join()}`)
  })

  test(`a swarm with TLS hangs up on a peer with ${title}, and says so`, LIMIT, async () => {
    await using site = await createTlsSite()
    await using foreign = await createTlsSite('foreign')
    await using lab = await createLab(SIZE)
    await using stranger = await answerAs(await show(site, foreign))
    const security = await securityOf(site, 'node01')
    await using getter = await lab.get({ security, peers: [stranger.address] })
    await until(() => hasNote(getter, reason), `${reason} in ${getter.notes.join()}`)
    assert.equal(stranger.receivedBytes(), 0)
  })
}

/** Somebody whom a swarm calls. */
async function answerAs({ cert, key, ...options }: ConnectionOptions) {
  const sockets = new Set<TLSSocket>()
  let receivedBytes = 0
  const { minVersion, maxVersion, ALPNProtocols = [PEER_ALPN] } = options
  const versions = { ...(minVersion && { minVersion }), ...(maxVersion && { maxVersion }) }
  const answering = { ...versions, ...(cert && { cert }), ...(key && { key }), ALPNProtocols }
  const server = createServer(answering, (socket) => {
    sockets.add(socket.on('error', () => {}))
    socket.on('data', (bytes) => (receivedBytes += bytes.length))
  })
  server.on('tlsClientError', () => {})
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    receivedBytes: () => receivedBytes,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

for (const lanes of [1, 2]) {
  test(
    `a swarm with TLS and ${lanes} lane(s) refuses who shows no certificate`,
    LIMIT,
    async () => {
      await using site = await createTlsSite()
      await using lab = await createLab(SIZE)
      await using seeder = await secureSeeder(lab, site, { lanes })
      assert.equal((await call(lab, seeder, {})).length, 0)
      await until(() => hasNote(seeder, /it shows no certificate/), seeder.notes.join())
    },
  )

  test(`a swarm with TLS and ${lanes} lane(s) refuses plain peers`, LIMIT, async () => {
    await using site = await createTlsSite()
    await using lab = await createLab(SIZE)
    await using seeder = await secureSeeder(lab, site, { lanes })
    await using getter = await lab.get({ peers: [seeder.address] })
    await until(() => hasNote(seeder, /it does not use TLS.*--tls/), seeder.notes.join())
    assert.equal(getter.torrent.stats().piecesHave, 0)
  })

  test(`a plain swarm with ${lanes} lane(s) refuses peers with TLS`, LIMIT, async () => {
    await using site = await createTlsSite()
    await using lab = await createLab(SIZE)
    await using seeder = await lab.seed({ lanes, isFirstLaneTaken: lanes > 1 })
    const security = await securityOf(site, 'node01')
    await using getter = await lab.get({ security, peers: [seeder.address], lanes })
    await until(() => hasNote(seeder, /it uses TLS, which this swarm does not/), 'the note there')
    await until(() => hasNote(getter, /it hung up in the TLS handshake/), 'the note here')
  })

  test(`a peer is cut off when it is revoked, with ${lanes} lane(s)`, LIMIT, async () => {
    await using site = await createTlsSite()
    await using lab = await createLab(SIZE)
    const seederSecurity = await securityOf(site, 'server')
    const limit = { uploadBytesPerSecond: 100_000 }
    const isFirstLaneTaken = lanes > 1
    const where = { lanes, isFirstLaneTaken, ...limit }
    await using seeder = await lab.seed({ security: seederSecurity, ...where })
    const security = await securityOf(site, 'node01')
    await using getter = await lab.get({ security, peers: [seeder.address], lanes })
    await until(() => getter.torrent.stats().downloadedBytes > 0, 'first payload')
    await revoke(site, 'node/node01')
    const isCut = (note: string) => /^Cut off peer .* node[/]node01 was revoked/.test(note)
    await until(() => seeder.notes.some(isCut), 'the cut')
    await until(() => getter.torrent.stats().peers.length === 0, 'nobody to ask')
    await until(() => hasNote(seeder, /node[/]node01 was revoked/), 'being refused')
  })

  test(
    `a renewed certificate is shown without a restart, with ${lanes} lane(s)`,
    LIMIT,
    async () => {
      await using site = await createTlsSite()
      await using lab = await createLab(SIZE)
      await using seeder = await secureSeeder(lab, site, { lanes })
      const first = await serialOf(seeder, site)
      const { certPem, keyPem } = await site.issue('image-server', 'renewed')
      await writeFile(`${site.directory}/server-0.key`, keyPem)
      await writeFile(`${site.directory}/server-0.pem`, certPem)
      await until(async () => (await serialOf(seeder, site)) !== first, 'another certificate')
    },
  )
}

/** Serial number of the certificate that is shown to a caller. */
async function serialOf({ swarm }: Member, site: TlsSite): Promise<string | undefined> {
  const socket = connect({
    ...{ host: '127.0.0.1', port: swarm.port, ALPNProtocols: [PEER_ALPN] },
    ...{ rejectUnauthorized: false, ...shows(await site.issue('node', 'asker')) },
  })
  await within(once(socket, 'secureConnect'), 'handshake')
  const serial = socket.getPeerX509Certificate()?.serialNumber
  socket.destroy()
  return serial
}

test('a swarm with TLS that allows it lets plain callers in, too', LIMIT, async () => {
  await using site = await createTlsSite()
  await using lab = await createLab(SIZE)
  await using seeder = await lab.seed({ security: await securityOf(site, 'server', true) })
  await using plain = await lab.get({ peers: [seeder.address] })
  const security = await securityOf(site, 'node01')
  await using secure = await lab.get({ security, peers: [seeder.address] })
  await within(Promise.all([plain.done, secure.done]), 'downloads')
  assert.ok((await plain.file()).equals(lab.content))
})
