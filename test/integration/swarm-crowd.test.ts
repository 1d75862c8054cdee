// Many at once: two hundred leechers of another program on one seeder, and as many that talk nonsense.
// Everybody is served, memory stays bounded and every descriptor is closed afterwards.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { test } from 'node:test'
import { createPeerId, encodeHandshake, HANDSHAKE_BYTES } from '../../src/swarm/wire/handshake.ts'
import { encodeMessage, WireDecoder, type BlockRange } from '../../src/swarm/wire/wire.ts'
import { type Metainfo } from '../../src/torrent/torrent.ts'
import { failOnLeaks } from './descriptors.ts'
import { createLab, until, within, type Lab } from './swarm-lab.ts'

failOnLeaks()

const LIMIT = { timeout: 60_000 }
const CROWD = 200
const BLOCK_BYTES = 16 * 1024
const MIB = 2 ** 20

/** Greets and then only listens. */
async function greet(port: number, { infoHash }: Metainfo): Promise<Socket> {
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => {})
  await once(socket, 'connect')
  const peerId = createPeerId(Math.random)
  socket.write(encodeHandshake({ infoHash, peerId, supportsFast: true, supportsExtensions: false }))
  return socket
}

/** Fetches the whole torrent block by block, one request at a time, as soon as it is unchoked. */
async function fetchAll(socket: Socket, metainfo: Metainfo): Promise<Buffer> {
  const content = Buffer.alloc(metainfo.lengthBytes)
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>()
  let [doneBytes, fragmentAt, skipBytes] = [0, 0, HANDSHAKE_BYTES]
  const ask = () => {
    if (doneBytes === content.length) return resolve(content)
    const pieceIndex = Math.floor(doneBytes / metainfo.pieceLengthBytes)
    const offsetBytes = doneBytes % metainfo.pieceLengthBytes
    const lengthBytes = Math.min(BLOCK_BYTES, content.length - doneBytes)
    const range = { pieceIndex, offsetBytes, lengthBytes }
    socket.write(encodeMessage({ type: 'request', range }))
  }
  const sink = {
    onMessage: ({ type }: { readonly type: string }) => {
      if (type === 'unchoke') ask()
    },
    onPayloadBegin: ({ pieceIndex, offsetBytes }: BlockRange) => {
      fragmentAt = pieceIndex * metainfo.pieceLengthBytes + offsetBytes
    },
    onPayload: (fragment: Uint8Array) => {
      content.set(fragment, fragmentAt)
      fragmentAt += fragment.length
    },
    onPayloadEnd: () => {
      doneBytes = fragmentAt
      ask()
    },
  }
  const decoder = new WireDecoder(sink, { maxControlBytes: 4096, maxPayloadBytes: BLOCK_BYTES })
  socket.on('data', (data) => {
    const message = data.subarray(Math.min(skipBytes, data.length))
    skipBytes -= data.length - message.length
    decoder.push(message)
  })
  socket.on('close', () => reject(new Error('The seeder hung up')))
  socket.write(encodeMessage({ type: 'interested' }))
  return promise
}

test('swarm: a seeder serves 200 connections at the same time', LIMIT, async () => {
  await using lab = await createLab({ sizeBytes: 8 * BLOCK_BYTES, pieceLengthBytes: 65536 })
  await using seeder = await lab.seed()
  const { port } = seeder.swarm
  const crowd = await Promise.all(Array.from({ length: CROWD }, () => greet(port, lab.metainfo)))
  await until(() => seeder.torrent.stats().peers.length === CROWD, 'all of them')
  const serve = async (socket: Socket) => {
    const content = await fetchAll(socket, lab.metainfo)
    socket.write(encodeMessage({ type: 'not-interested' }))
    return content.equals(lab.content)
  }
  const answers = await within(Promise.all(crowd.map(serve)), 'all downloads', 40_000)
  assert.equal(answers.filter(Boolean).length, CROWD)
  assert.equal(seeder.torrent.stats().peers.length, CROWD)
  for (const socket of crowd) socket.destroy()
  await until(() => seeder.torrent.stats().peers.length === 0, 'the end of all')
})

/** Frames that are well formed as often as not, of every kind there is. */
function nonsense(random: () => number, frames: number): Buffer {
  const below = (limit: number) => Math.floor(random() * limit)
  return Buffer.concat(
    Array.from({ length: frames }, () => {
      const id = below(4) === 0 ? below(256) : below(21)
      const lengthBytes = [1, 5, 13, 3, 1 + below(200)][below(5)] ?? 1
      const frame = Buffer.alloc(4 + lengthBytes)
      for (let at = 5; at < frame.length; at++) frame[at] = below(3) === 0 ? below(256) : 0
      frame.writeUInt32BE(lengthBytes)
      frame[4] = id
      return frame
    }),
  )
}

/** Uniform in [0, 1), the same every time. */
function createRandom(seed: number): () => number {
  let state = seed
  return () => (state = (Math.imul(state, 1103515245) + 12345) >>> 0) / 2 ** 32
}

async function talkNonsense(lab: Lab, port: number, random: () => number): Promise<void> {
  const socket = await greet(port, lab.metainfo)
  const closed = once(socket, 'close')
  socket.resume()
  socket.end(nonsense(random, 200))
  await closed
}

test(
  'swarm: nonsense from 1000 connections costs neither seeder nor node anything',
  LIMIT,
  async () => {
    await using lab = await createLab({ sizeBytes: 4 * MIB, pieceLengthBytes: 2 ** 18 })
    await using seeder = await lab.seed()
    await using getter = await lab.get()
    const random = createRandom(4711)
    const before = process.memoryUsage.rss()
    for (let round = 0; round < 10; round++) {
      const ports = [seeder.swarm.port, getter.swarm.port]
      const talks = Array.from({ length: 100 }, (_, index) =>
        talkNonsense(lab, ports[index % 2] ?? 0, random),
      )
      await within(Promise.all(talks), 'the end of all talk', 20_000)
    }
    assert.ok(process.memoryUsage.rss() - before < 100 * MIB, 'memory grows')
    await using honest = await lab.seed({ peers: [getter.address] })
    await within(getter.done, 'download')
    assert.ok((await getter.file()).equals(lab.content))
    assert.ok(honest.torrent.stats().uploadedBytes > 0)
  },
)
