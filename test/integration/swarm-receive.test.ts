// Payload that comes by real sockets into the slab: the same bytes however the stream is cut, and the end of a
// connection amid a payload.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import fc from 'fast-check'
import { type PeerSink } from '../../src/swarm/connection/intake.ts'
import { BlockTable } from '../../src/swarm/pieces/block-table.ts'
import { createSlab } from '../../src/swarm/swarm.ts'
import { encodeHandshake } from '../../src/swarm/wire/handshake.ts'
import { encodeMessage, encodePieceHead, type BlockRange } from '../../src/swarm/wire/wire.ts'
import { parseInfoHash } from '../../src/torrent/torrent.ts'
import { failOnLeaks } from './descriptors.ts'
import { connectRawPeer } from './raw-peer.ts'
import { noise, until } from './swarm-lab.ts'

const LIMIT = { timeout: 60_000 }
const BLOCK = 16384
const PIECE_BYTES = 2 ** 20 + 100
const SLOTS = 4
const content = noise(SLOTS * PIECE_BYTES)
const HANDSHAKE = encodeHandshake({
  infoHash: parseInfoHash('ab'.repeat(20)),
  peerId: '-XX0000-abcdefghijkl',
  supportsFast: true,
  supportsExtensions: false,
})

failOnLeaks()

const wholePiece = (pieceIndex: number): BlockRange => ({
  ...{ pieceIndex, offsetBytes: 0, lengthBytes: PIECE_BYTES },
})
const pieceBytes = (index: number) =>
  content.subarray(index * PIECE_BYTES, (index + 1) * PIECE_BYTES)
const messageOf = (index: number) =>
  Buffer.concat([encodePieceHead(wholePiece(index)), pieceBytes(index)])

/** A connection that has asked for all pieces, of which each has a slot. */
async function receiver() {
  const peer = await connectRawPeer()
  const { connection, socket } = peer
  const slab = createSlab({ slotBytes: (PIECE_BYTES + BLOCK) & ~(BLOCK - 1), slots: SLOTS })
  const blocks: string[] = []
  const messages: string[] = []
  const seen = { bytes: 0, usedBytes: 0, wastedBytes: 0 }
  const sink: PeerSink = {
    onMessage: ({ type }) => messages.push(type),
    onPayloadBegin() {},
    onBlocks({ pieceIndex, first, end }) {
      for (let block = first; block < end; block++) blocks.push(`${pieceIndex}.${block}`)
    },
    onPayload({ bytes, usedBytes, wastedBytes }) {
      seen.bytes += bytes
      seen.usedBytes += usedBytes
      seen.wastedBytes += wastedBytes
    },
    onPayloadEnd() {},
    onDrained() {},
  }
  connection.startMessages(sink, { maxControlBytes: 1000, maxPayloadBytes: PIECE_BYTES, slab })
  const places = Array.from({ length: SLOTS }, (_, index) => {
    const place = slab.acquire()
    assert.ok(place)
    connection.request(wholePiece(index), place)
    return place
  })
  socket.write(HANDSHAKE)
  const contentOf = (index: number) =>
    Buffer.from(slab.view(places[index]?.slot ?? 0).subarray(0, PIECE_BYTES))
  return {
    ...{ peer, socket, slab, places, blocks, messages, seen, contentOf },
    [Symbol.asyncDispose]: () => peer[Symbol.asyncDispose](),
  }
}

test('payload arrives the same, however the stream is cut', LIMIT, async () => {
  const sizes = fc.array(fc.integer({ min: 1, max: 300_000 }), { minLength: 1, maxLength: 12 })
  const parts = [0, 1, 2, 3].flatMap((index) => [
    messageOf(index),
    encodeMessage({ type: 'have', pieceIndex: 1 }),
  ])
  const stream = Buffer.concat(parts)
  await fc.assert(
    fc.asyncProperty(sizes, fc.nat({ max: 3 }), async (cuts, pauseEvery) => {
      await using subject = await receiver()
      const { socket, blocks, messages, seen, contentOf } = subject
      for (let at = 0, step = 0; at < stream.length; step++) {
        const size = cuts[step % cuts.length] ?? 1
        // Small parts a few times, or the test takes for ever.
        const part = stream.subarray(at, at + (step < 40 ? size : stream.length))
        if (!socket.write(part) && pauseEvery === 0) await once(socket, 'drain')
        if (pauseEvery > 0 && step % pauseEvery === 0) await setImmediate()
        at += part.length
      }
      await until(() => messages.length === SLOTS, 'the last message')
      for (let index = 0; index < SLOTS; index++) {
        assert.ok(contentOf(index).equals(pieceBytes(index)), `piece ${index}`)
      }
      assert.equal(blocks.length, new Set(blocks).size)
      assert.equal(blocks.length, SLOTS * Math.ceil(PIECE_BYTES / BLOCK))
      const bytes = content.length
      assert.deepEqual(seen, { bytes, usedBytes: bytes, wastedBytes: 0 })
    }),
    { numRuns: 25 },
  )
})

test('blocks that another peer has sent are not received over', LIMIT, async () => {
  await using subject = await receiver()
  const { socket, slab, places, blocks, seen, contentOf } = subject
  const other = new BlockTable(slab.table.share, 2)
  const [place] = places
  assert.ok(place)
  for (const block of [0, 20, 21, 64]) {
    assert.ok(other.claim(place, block))
    other.markReceived(place, block)
  }
  socket.write(messageOf(0))
  await until(() => seen.bytes === PIECE_BYTES, 'the payload')
  assert.equal(blocks.length, 61)
  assert.equal(seen.wastedBytes, 3 * BLOCK + 100)
  const expected = Buffer.from(pieceBytes(0))
  for (const block of [0, 20, 21, 64]) {
    expected.fill(0, block * BLOCK, Math.min(PIECE_BYTES, (block + 1) * BLOCK))
  }
  assert.ok(contentOf(0).equals(expected))
})

for (const [name, end] of [
  ['ends', 'end'],
  ['is reset', 'resetAndDestroy'],
] as const) {
  test(
    `a connection that ${name} amid a payload leaves whole blocks and no claims`,
    LIMIT,
    async () => {
      await using subject = await receiver()
      const { peer, socket, slab, places, blocks, seen, contentOf } = subject
      const cutBytes = 40 * BLOCK + 5000
      socket.write(messageOf(0).subarray(0, 13 + cutBytes))
      if (end === 'resetAndDestroy') await until(() => seen.bytes === cutBytes, 'the payload')
      socket[end]()
      socket.resume()
      socket.resume()
      await peer.closed
      assert.equal(peer.connection.isClosed, true)
      assert.equal(seen.bytes, cutBytes)
      assert.equal(blocks.length, 40)
      assert.ok(
        contentOf(0)
          .subarray(0, 40 * BLOCK)
          .equals(pieceBytes(0).subarray(0, 40 * BLOCK)),
      )
      const other = new BlockTable(slab.table.share, 2)
      const [place] = places
      assert.ok(place)
      for (let block = 40; block < 65; block++) assert.ok(other.claim(place, block), `${block}`)
    },
  )
}

test('one busy connection leaves turns to others', LIMIT, async () => {
  await using busy = await receiver()
  await using other = await receiver()
  for (let index = 0; index < SLOTS; index++) busy.socket.write(messageOf(index))
  other.socket.write(encodeMessage({ type: 'have', pieceIndex: 1 }))
  await until(() => other.messages.length === 1, 'the message')
  await until(() => busy.seen.bytes === content.length, 'the payload')
})
