// Two connections that bring the same pieces into the same slots at once, each stream cut at random, 10^5 cuts in
// all: whatever a read gets, and on whichever way it is received, every block is taken once and right.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { type PeerSink } from '../../src/swarm/connection/intake.ts'
import { createSlab, type Slab } from '../../src/swarm/swarm.ts'
import { type SlotPlace } from '../../src/swarm/pieces/block-table.ts'
import { encodeHandshake } from '../../src/swarm/wire/handshake.ts'
import { encodeMessage, encodePieceHead, type BlockRange } from '../../src/swarm/wire/wire.ts'
import { parseInfoHash } from '../../src/torrent/torrent.ts'
import { failOnLeaks } from './descriptors.ts'
import { connectRawPeer, type RawPeer } from './raw-peer.ts'
import { noise, until } from './swarm-lab.ts'

const CUTS = 100_000
const BLOCK = 16384
const PIECES = 3
const PIECE_BYTES = 2 ** 20 + 777
const BLOCKS = Math.ceil(PIECE_BYTES / BLOCK)
const content = noise(PIECES * PIECE_BYTES)
const garbage = noise(3 * BLOCK, 2)

failOnLeaks()

/** mulberry32: uniform in [0, 1). */
function createRandom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

type Random = () => number
const upTo = (random: Random, most: number) => Math.floor(random() * (most + 1))
/** As many of 1 to 10 as of 1000 to 10 000. */
const anySize = (random: Random, most: number) => Math.ceil(Math.exp(random() * Math.log(most)))

/** All pieces in ranges of some blocks: single ones are handed in, long ones received in place. */
function someRanges(random: Random): BlockRange[] {
  const ranges: BlockRange[] = []
  for (let pieceIndex = 0; pieceIndex < PIECES; pieceIndex++) {
    for (let offsetBytes = 0; offsetBytes < PIECE_BYTES;) {
      const wishedBytes = anySize(random, BLOCKS) * BLOCK
      const lengthBytes = Math.min(wishedBytes, PIECE_BYTES - offsetBytes)
      ranges.push({ pieceIndex, offsetBytes, lengthBytes })
      offsetBytes += lengthBytes
    }
  }
  return ranges.toSorted(() => random() - 0.5)
}

const payloadOf = ({ pieceIndex, offsetBytes, lengthBytes }: BlockRange) => {
  const startBytes = pieceIndex * PIECE_BYTES + offsetBytes
  return content.subarray(startBytes, startBytes + lengthBytes)
}

/** What was asked for, and between it messages and payload that nobody asked for. */
function streamOf(ranges: readonly BlockRange[], random: Random) {
  const parts: Uint8Array[] = []
  let [messages, unaskedBytes] = [0, 0]
  for (const range of ranges) {
    parts.push(encodePieceHead(range), payloadOf(range))
    if (random() < 0.1) {
      const unasked = garbage.subarray(0, upTo(random, garbage.length))
      const odd = { pieceIndex: range.pieceIndex, offsetBytes: 1, lengthBytes: unasked.length }
      parts.push(encodePieceHead(odd), unasked)
      unaskedBytes += unasked.length
    }
    for (let count = upTo(random, 2); count > 0; count--) {
      parts.push(encodeMessage({ type: 'have', pieceIndex: messages++ }))
    }
  }
  parts.push(encodeMessage({ type: 'choke' }))
  return { bytes: Buffer.concat(parts), messages, unaskedBytes }
}

/** Asks for the ranges and notes what comes of it. */
function receive({ connection }: RawPeer, slab: Slab, asked: ReadonlyMap<BlockRange, SlotPlace>) {
  const seen = { blocks: [] as string[], haves: [] as number[], hasEnded: false }
  const counts = { bytes: 0, usedBytes: 0, wastedBytes: 0 }
  const sink: PeerSink = {
    onMessage(message) {
      if (message.type === 'have') seen.haves.push(message.pieceIndex)
      else seen.hasEnded = true
    },
    onBlocks({ pieceIndex, first, end }) {
      for (let block = first; block < end; block++) seen.blocks.push(`${pieceIndex}.${block}`)
    },
    onPayload({ bytes, usedBytes, wastedBytes }) {
      counts.bytes += bytes
      counts.usedBytes += usedBytes
      counts.wastedBytes += wastedBytes
    },
    onPayloadBegin() {},
    onPayloadEnd() {},
    onDrained() {},
  }
  connection.startMessages(sink, { maxControlBytes: 1000, maxPayloadBytes: PIECE_BYTES, slab })
  for (const [range, place] of asked) connection.request(range, place)
  return { seen, counts }
}

/** Returns how many cuts it made. */
async function writeInParts({ socket }: RawPeer, bytes: Buffer, random: Random): Promise<number> {
  let cuts = 0
  for (let at = 0; at < bytes.length; cuts++) {
    const size = anySize(random, random() < 0.9 ? 8192 : 400_000)
    socket.write(bytes.subarray(at, (at += size)))
    if (random() < 0.3) await setImmediate()
  }
  return cuts
}

async function receiveTwice(seed: number): Promise<number> {
  const random = createRandom(seed)
  await using one = await connectRawPeer()
  await using other = await connectRawPeer()
  const slab = createSlab({ slotBytes: BLOCKS * BLOCK, slots: PIECES })
  const places = Array.from({ length: PIECES }, () => slab.acquire())
  const runs = [one, other].map((peer) => {
    const ranges = someRanges(random)
    const placeOf = ({ pieceIndex }: BlockRange) => places[pieceIndex] ?? assert.fail('no slot')
    const asked = new Map(ranges.map((range) => [range, placeOf(range)]))
    peer.socket.setNoDelay(true).resume() // it reads our requests and forgets them
    return { peer, stream: streamOf(ranges, random), ...receive(peer, slab, asked) }
  })
  const infoHash = parseInfoHash('ab'.repeat(20))
  const peerId = '-XX0000-abcdefghijkl'
  const greeting = { infoHash, peerId, supportsFast: true, supportsExtensions: false }
  const written = await Promise.all(
    runs.map(({ peer, stream }) =>
      writeInParts(peer, Buffer.concat([encodeHandshake(greeting), stream.bytes]), random),
    ),
  )
  await until(() => runs.every(({ seen }) => seen.hasEnded), `the end of both, seed ${seed}`)
  for (const { counts, seen, stream } of runs) {
    assert.equal(counts.bytes, content.length + stream.unaskedBytes, `seed ${seed}`)
    assert.equal(counts.usedBytes + counts.wastedBytes, counts.bytes, `seed ${seed}`)
    assert.deepEqual(seen.haves, [...Array(stream.messages).keys()], `seed ${seed}`)
  }
  const blocks = runs.flatMap(({ seen }) => seen.blocks)
  assert.equal(blocks.length, PIECES * BLOCKS, `seed ${seed}`)
  assert.equal(new Set(blocks).size, blocks.length, `seed ${seed}`)
  const usedBytes = runs.reduce((sum, { counts }) => sum + counts.usedBytes, 0)
  assert.equal(usedBytes, content.length, `seed ${seed}`)
  places.forEach((place, index) => {
    const piece = Buffer.from(slab.view(place?.slot ?? 0).subarray(0, PIECE_BYTES))
    assert.ok(piece.equals(content.subarray(index * PIECE_BYTES, (index + 1) * PIECE_BYTES)))
  })
  return written.reduce((a, b) => a + b)
}

test(
  'two streams of the same pieces, cut at random, give every block once and right',
  { timeout: 240_000 },
  async () => {
    let cuts = 0
    for (let seed = 1; cuts < CUTS; seed++) cuts += await receiveTwice(seed)
  },
)
