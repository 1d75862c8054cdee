// Somebody on the network who wants to stop a deployment, not to take part in it: squatting, flooding,
// impersonating. The info hash and the peers' ids are known to everybody.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { test } from 'node:test'
import {
  createPeerId,
  decodeHandshake,
  encodeHandshake,
  HANDSHAKE_BYTES,
} from '../../src/swarm/wire/handshake.ts'
import { encodeMessage, encodePieceHead } from '../../src/swarm/wire/wire.ts'
import { encodeBencode, type Metainfo } from '../../src/torrent/torrent.ts'
import { failOnLeaks } from './descriptors.ts'
import { createLab, until, within } from './swarm-lab.ts'

failOnLeaks()

const LIMIT = { timeout: 60_000 }
const SMALL = { sizeBytes: 4 * 2 ** 20, pieceLengthBytes: 2 ** 18 }
/** A machine of the attacker's own; all of 127/8 is loopback. */
const ATTACKER = '127.0.0.2'

class Attackers implements Disposable {
  readonly #sockets: Socket[] = []

  /** Connects without a word. */
  async connect(port: number, from = ATTACKER): Promise<Socket> {
    const socket = connect({ port, host: '127.0.0.1', localAddress: from })
    socket.on('error', () => {})
    this.#sockets.push(socket)
    await once(socket, 'connect')
    return socket
  }

  /** Connects and greets, under an id of its own unless told otherwise. */
  async greet(port: number, { infoHash }: Metainfo, peerId?: string): Promise<Socket> {
    const socket = await this.connect(port)
    socket.write(handshake(infoHash, peerId))
    return socket
  }

  [Symbol.dispose](): void {
    for (const socket of this.#sockets) socket.destroy()
  }
}

function handshake(infoHash: Metainfo['infoHash'], peerId?: string): Buffer {
  const id = peerId ?? createPeerId(Math.random)
  return encodeHandshake({
    ...{ infoHash, peerId: id, supportsFast: true, supportsExtensions: true },
  })
}

/** The id of whoever listens there: it tells anybody who asks. */
async function askPeerId(port: number, metainfo: Metainfo): Promise<string> {
  using attackers = new Attackers()
  const socket = await attackers.greet(port, metainfo)
  let bytes = Buffer.alloc(0)
  while (bytes.length < HANDSHAKE_BYTES) {
    const [part] = (await once(socket, 'data')) as [Buffer]
    bytes = Buffer.concat([bytes, part])
  }
  return decodeHandshake(bytes.subarray(0, HANDSHAKE_BYTES)).peerId
}

/** Answers every request with bytes that are wrong. */
function answerWrongly(socket: Socket): void {
  socket.write(encodeMessage({ type: 'have-all' }))
  socket.write(encodeMessage({ type: 'unchoke' }))
  let unread = Buffer.alloc(0)
  socket.on('data', (data) => {
    unread = Buffer.concat([unread, data])
    for (let at = unread.indexOf(REQUEST); at >= 0; at = unread.indexOf(REQUEST)) {
      if (unread.length < at + 17) return
      const [pieceIndex, offsetBytes] = [unread.readUInt32BE(at + 5), unread.readUInt32BE(at + 9)]
      const lengthBytes = unread.readUInt32BE(at + 13)
      unread = unread.subarray(at + 17)
      socket.write(encodePieceHead({ pieceIndex, offsetBytes, lengthBytes }))
      socket.write(Buffer.alloc(lengthBytes, 0x42))
    }
  })
}

const REQUEST = Buffer.from([0, 0, 0, 13, 6])

test('swarm: a peer that goes on asking for what it is refused is dropped', LIMIT, async () => {
  await using lab = await createLab(SMALL)
  await using seeder = await lab.seed()
  using attackers = new Attackers()
  const socket = await attackers.greet(seeder.swarm.port, lab.metainfo)
  const range = { pieceIndex: 1, offsetBytes: 0, lengthBytes: 16384 }
  const request = encodeMessage({ type: 'request', range })
  await until(() => seeder.torrent.stats().peers.length === 1, 'the flooder')
  socket.pause() // the refusals stay unread
  socket.write(Buffer.concat(Array.from({ length: 2001 }, () => request)))
  await until(() => seeder.torrent.stats().peers.length === 0, 'the end of the flooder')
})

test('swarm: silent connections do not keep a newcomer from being heard', LIMIT, async () => {
  await using lab = await createLab(SMALL)
  await using seeder = await lab.seed()
  using attackers = new Attackers()
  for (let count = 0; count < 100; count++) await attackers.connect(seeder.swarm.port)
  const startMs = performance.now()
  await using getter = await lab.get({ peers: [seeder.address] })
  await within(getter.done, 'download')
  assert.ok(performance.now() - startMs < 8000, 'it was heard before the silent ones timed out')
})

test('swarm: a host that takes all places gives some up to another', LIMIT, async () => {
  await using lab = await createLab(SMALL)
  await using seeder = await lab.seed()
  using attackers = new Attackers()
  for (let count = 0; count < 256; count++) {
    await attackers.greet(seeder.swarm.port, lab.metainfo)
  }
  await until(() => seeder.torrent.stats().peers.length === 256, 'all places taken')
  await using getter = await lab.get({ peers: [seeder.address] })
  await within(getter.done, 'download')
  assert.equal(seeder.torrent.stats().peers.length, 256)
})

test("swarm: a liar under the seeder's id is banned without the seeder", LIMIT, async () => {
  await using lab = await createLab(SMALL)
  await using seeder = await lab.seed()
  const peerId = await askPeerId(seeder.swarm.port, lab.metainfo)
  await using getter = await lab.get()
  using attackers = new Attackers()
  const socket = await attackers.greet(getter.swarm.port, lab.metainfo, peerId)
  answerWrongly(socket)
  await until(() => socket.destroyed, 'the end of the liar')
  assert.equal(getter.torrent.stats().badPieces > 0, true)
  const again = await attackers.greet(getter.swarm.port, lab.metainfo, peerId)
  await until(() => again.destroyed, 'the refusal of the liar')
  const { host, port } = { host: '127.0.0.1', port: getter.swarm.port }
  await using introduced = await lab.seed({ peers: [`${host}:${port}`] })
  await within(getter.done, 'download')
  assert.ok(introduced.torrent.stats().uploadedBytes > 0)
})

test('swarm: whoever claims the id of a peer does not displace it', LIMIT, async () => {
  await using lab = await createLab(SMALL)
  await using seeder = await lab.seed()
  const peerId = await askPeerId(seeder.swarm.port, lab.metainfo)
  await using getter = await lab.get({ peers: [seeder.address], wanted: [0] })
  await within(getter.done, 'download')
  const genuine = () => getter.torrent.stats().peers.filter(({ isServer }) => isServer)
  await until(() => genuine().length === 1, 'the seeder')
  const address = genuine()[0]?.address
  using attackers = new Attackers()
  await attackers.greet(getter.swarm.port, lab.metainfo, peerId)
  await until(() => getter.torrent.stats().peers.length === 2, 'both')
  assert.equal(genuine()[0]?.address, address)
})

test('swarm: a host of many liars is not heard any more', LIMIT, async () => {
  await using lab = await createLab(SMALL)
  await using getter = await lab.get()
  using attackers = new Attackers()
  for (let count = 0; count < 8; count++) {
    const socket = await attackers.greet(getter.swarm.port, lab.metainfo)
    answerWrongly(socket)
    await until(() => socket.destroyed, 'the end of a liar')
  }
  const ninth = await attackers.greet(getter.swarm.port, lab.metainfo)
  answerWrongly(ninth)
  await until(() => ninth.destroyed, 'the refusal of the ninth')
  assert.equal(ninth.bytesRead, 0)
})

test('swarm: strangers that come to a node do not keep it from the seeder', LIMIT, async () => {
  await using lab = await createLab(SMALL)
  await using former = await lab.seed()
  const { port } = former.swarm
  await former[Symbol.asyncDispose]()
  await using getter = await lab.get({ peers: [`127.0.0.1:${port}`] })
  using attackers = new Attackers()
  for (let count = 0; count < 16; count++) {
    await attackers.greet(getter.swarm.port, lab.metainfo)
  }
  await until(() => getter.torrent.stats().peers.length === 16, 'sixteen strangers')
  await using seeder = await lab.seed({ port })
  await within(getter.done, 'download')
  assert.ok(seeder.torrent.stats().uploadedBytes > 0)
})

test('swarm: of many ports that one peer tells only the first is tried', LIMIT, async () => {
  await using lab = await createLab(SMALL)
  await using getter = await lab.get()
  let [first, second] = [0, 0]
  const listeners = [
    createServer((socket) => void (first++, socket.resume())),
    createServer((socket) => void (second++, socket.resume())),
  ]
  for (const listener of listeners) {
    listener.listen(0, ATTACKER)
    await once(listener, 'listening')
  }
  const ports = listeners.map((listener) => (listener.address() as { port: number }).port)
  {
    using attackers = new Attackers()
    const socket = await attackers.greet(getter.swarm.port, lab.metainfo)
    for (const port of ports) {
      socket.write(encodeMessage({ type: 'extended', id: 0, payload: encodeBencode({ p: port }) }))
    }
    socket.write(encodeMessage({ type: 'have-none' }))
    await until(() => getter.torrent.stats().peers.length === 1, 'the peer')
    await once(socket, 'data')
  }
  try {
    await until(() => first > 0, 'an attempt at the first port')
    assert.equal(second, 0)
  } finally {
    for (const listener of listeners) listener.close()
  }
})
