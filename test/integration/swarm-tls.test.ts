// Swarms whose peers prove who they are: what is let in, what is not, and that a line says why.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { connect as connectPlain, type AddressInfo, type Socket } from 'node:net'
import { test } from 'node:test'
import { connect, createServer, type ConnectionOptions, type TLSSocket } from 'node:tls'
import { run } from '../../src/host/host.ts'
import { PEER_ALPN } from '../../src/swarm/connection/tls-socket.ts'
import { createPeerId, encodeHandshake } from '../../src/swarm/wire/handshake.ts'
import { createTlsSite, type IssuedFiles, type TlsSite } from '../lab/tls-site.ts'
import { failOnLeaks } from './descriptors.ts'
import { createLab, until, within, type Lab, type Member } from './swarm-lab.ts'

const LIMIT = { timeout: 60_000 }

failOnLeaks()

const SIZE = { sizeBytes: 4_000_001, pieceLengthBytes: 2 ** 18 }

async function securityOf(site: TlsSite, name: string, allowsPlain = false) {
  const role = name === 'server' ? 'image-server' : 'node'
  return { credentials: await site.credentials(role, name), allowsPlain }
}

async function secureSeeder(lab: Lab, site: TlsSite, { lanes = 1 } = {}) {
  const isFirstLaneTaken = lanes > 1 // by nobody who says anything: who comes next lives on another
  return lab.seed({ security: await securityOf(site, 'server'), lanes, isFirstLaneTaken })
}

for (const lanes of [1, 2]) {
  test(`a swarm with TLS completes through ${lanes} lane(s), every byte once`, LIMIT, async () => {
    await using site = await createTlsSite()
    await using lab = await createLab(SIZE)
    await using seeder = await secureSeeder(lab, site, { lanes })
    await using other = await secureSeeder(lab, site)
    const security = await securityOf(site, 'node01')
    const peers = [other.address, seeder.address]
    await using getter = await lab.get({ lanes, security, peers })
    await within(getter.done, 'download')
    assert.ok((await getter.file()).equals(lab.content))
    assert.equal(getter.torrent.stats().wastedBytes, 0)
    assert.deepEqual(getter.notes, [])
  })
}

const GREETING = { supportsFast: true, supportsExtensions: false, infoHash: '', peerId: '' }

function greetingFor(lab: Lab): Buffer {
  const { infoHash } = lab.metainfo
  return encodeHandshake({ ...GREETING, infoHash, peerId: createPeerId(Math.random) })
}

/** What a stranger shows of itself. */
function shows({ certPem, keyPem }: IssuedFiles): ConnectionOptions {
  return { cert: certPem, key: keyPem, ca: certPem }
}

/** A stranger calls and greets; resolves with what it was told, when it was hung up on. */
async function call(lab: Lab, member: Member, options: ConnectionOptions): Promise<Buffer> {
  const socket = connect({
    ...{ host: '127.0.0.1', port: member.swarm.port, rejectUnauthorized: false },
    ...{ ALPNProtocols: [PEER_ALPN], ...options },
  })
  socket.on('secureConnect', () => socket.write(greetingFor(lab)))
  return whatCame(socket)
}

async function whatCame(socket: Socket): Promise<Buffer> {
  const parts: Buffer[] = []
  socket.on('data', (part: Buffer) => parts.push(part)).on('error', () => {})
  const closed = new Promise((resolve) => socket.on('close', resolve))
  await within(closed, 'being hung up on')
  return Buffer.concat(parts)
}

function hasNote({ notes }: Member, reason: RegExp): boolean {
  const line = new RegExp(`^Refused peer 127[.]0[.]0[.]1:\\d+: .*${reason.source}`)
  return notes.some((note) => line.test(note))
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
