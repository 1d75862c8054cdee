// Peers that lie about what they have: a wrong bitfield costs time at most, never pieces.
import assert from 'node:assert/strict'
import { type Socket } from 'node:net'
import { test } from 'node:test'
import { encodeMessage, encodePieceHead, type WireMessage } from '../../src/swarm/wire/wire.ts'
import { Bitfield } from '../../src/torrent/torrent.ts'
import { failOnLeaks } from './descriptors.ts'
import { onMessages, startFakePeer, type FakePeerOptions } from './fake-peer.ts'
import { createLab, until, within } from './swarm-lab.ts'

failOnLeaks()

const LIMIT = { timeout: 60_000 }
const SMALL = { sizeBytes: 4 * 2 ** 20, pieceLengthBytes: 2 ** 18 }

type Behaviour = (socket: Socket, message: WireMessage) => void

/** What may come of asking a peer for a piece that it only claims to have. */
const CLAIMS: readonly (readonly [string, Behaviour, FakePeerOptions])[] = [
  [
    'rejects each request',
    (socket, message) => {
      if (message.type !== 'request') return
      socket.write(encodeMessage({ type: 'reject', range: message.range }))
    },
    { supportsFast: true },
  ],
  [
    'rejects each request and claims the piece again',
    (socket, message) => {
      if (message.type !== 'request') return
      socket.write(encodeMessage({ type: 'reject', range: message.range }))
      socket.write(encodeMessage({ type: 'have', pieceIndex: message.range.pieceIndex }))
    },
    { supportsFast: true },
  ],
  [
    'chokes at each request and unchokes again',
    (socket, message) => {
      if (message.type !== 'request') return
      socket.write(encodeMessage({ type: 'choke' }))
      socket.write(encodeMessage({ type: 'unchoke' }))
    },
    {},
  ],
  [
    'hangs up at the first request',
    (socket, message) => {
      if (message.type === 'request') socket.destroy()
    },
    {},
  ],
  [
    'answers with another range than was asked for',
    (socket, message) => {
      if (message.type !== 'request') return
      const { pieceIndex } = message.range
      const range = { pieceIndex, offsetBytes: 16384 * 3, lengthBytes: 100 }
      socket.write(Buffer.concat([encodePieceHead(range), Buffer.alloc(100, 1)]))
    },
    {},
  ],
]

for (const [title, behaviour, options] of CLAIMS) {
  test(`swarm: a peer that has nothing of what it claims and ${title}`, LIMIT, async () => {
    await using lab = await createLab(SMALL)
    let requests = 0
    const behave: Behaviour = (socket, message) => {
      if (message.type === 'request') requests++
      behaviour(socket, message)
    }
    await using liar = await startFakePeer(lab.metainfo, onMessages(behave), options)
    await using getter = await lab.get({ peers: [liar.address], slots: 2 })
    await until(() => requests > 0, 'a request to the liar')
    await using seeder = await lab.seed({ peers: [getter.address] })
    await within(getter.done, 'download', 30_000)
    assert.ok((await getter.file()).equals(lab.content))
    assert.equal(seeder.torrent.stats().uploadedBytes >= lab.content.length, true)
    assert.equal(getter.torrent.stats().badPieces, 0)
  })
}

test(
  'swarm: a bitfield of another length, or with a spare bit, closes the connection',
  LIMIT,
  async () => {
    await using lab = await createLab({ sizeBytes: 2 ** 20 - 1, pieceLengthBytes: 2 ** 18 })
    const fields = [new Bitfield(64), { bytes: Buffer.from([0xff]) } as Bitfield]
    for (const pieces of fields) {
      await using liar = await startFakePeer(lab.metainfo, () => {}, { pieces })
      await using getter = await lab.get({ peers: [liar.address] })
      await until(() => liar.closed() > 0, 'the end of the connection')
      assert.equal(getter.torrent.stats().peers.length, 0)
    }
  },
)

test('swarm: a peer that chokes at each request and unchokes again is dropped', LIMIT, async () => {
  await using lab = await createLab(SMALL)
  const flap: Behaviour = (socket, message) => {
    if (message.type !== 'request') return
    socket.write(encodeMessage({ type: 'choke' }))
    socket.write(encodeMessage({ type: 'unchoke' }))
  }
  await using liar = await startFakePeer(lab.metainfo, onMessages(flap))
  await using getter = await lab.get({ peers: [liar.address] })
  await until(() => liar.closed() > 0, 'the end of the connection')
  assert.equal(getter.torrent.stats().downloadedBytes, 0)
})

test('swarm: liars about every piece do not hide the one that is rare', LIMIT, async () => {
  await using lab = await createLab(SMALL)
  const { pieceCount } = lab.metainfo
  const behave: Behaviour = (socket, message) => {
    if (message.type !== 'request') return
    socket.write(encodeMessage({ type: 'reject', range: message.range }))
  }
  const options = { supportsFast: true }
  await using first = await startFakePeer(lab.metainfo, onMessages(behave), options)
  await using second = await startFakePeer(lab.metainfo, onMessages(behave), options)
  const [evenPieces, oddPieces] = [new Bitfield(pieceCount), new Bitfield(pieceCount)]
  for (let index = 0; index < pieceCount; index++) (index % 2 ? oddPieces : evenPieces).set(index)
  await using even = await lab.get({ peers: [first.address], have: evenPieces, wanted: [] })
  await using odd = await lab.get({ peers: [second.address], have: oddPieces, wanted: [] })
  const peers = [first.address, second.address, even.address, odd.address]
  await using getter = await lab.get({ peers })
  await within(getter.done, 'download', 30_000)
  assert.equal(getter.torrent.stats().piecesHave, pieceCount)
})
