// Payload into slots: cut anywhere, by several senders, also on several threads (two views of a slab).
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { BlockTable, type SlotPlace } from '../../../../src/swarm/pieces/block-table.ts'
import {
  Intake,
  type PeerSink,
  type ReceivedBlocks,
} from '../../../../src/swarm/connection/intake.ts'
import { createSlab, type Slab } from '../../../../src/swarm/swarm.ts'
import { type BlockRange } from '../../../../src/swarm/wire/wire.ts'

const BLOCK = 16384

/** Three blocks and a bit: the last block of a piece is short. */
const PIECE_BYTES = 3 * BLOCK + 100
const WHOLE: BlockRange = { pieceIndex: 7, offsetBytes: 0, lengthBytes: PIECE_BYTES }

function pieceInSlab(): { readonly slab: Slab; readonly place: SlotPlace } {
  const slab = createSlab({ slotBytes: 4 * BLOCK, slots: 2 })
  const place = slab.acquire()
  assert.ok(place)
  return { slab, place }
}

/** A sender on a lane of its own. */
function sender(slab: Slab, lane: number) {
  const blocks: ReceivedBlocks[] = []
  const seen = { bytes: 0, used: 0, wasted: 0, expected: [] as boolean[] }
  const sink: PeerSink = {
    onMessage() {},
    onPayloadBegin: (_range, isExpected) => seen.expected.push(isExpected),
    onBlocks: (run) => blocks.push(run),
    onPayload({ bytes, usedBytes, wastedBytes }) {
      seen.bytes += bytes
      seen.used += usedBytes
      seen.wasted += wastedBytes
    },
    onPayloadEnd() {},
    onDrained() {},
  }
  const table = new BlockTable(slab.table.share, lane)
  const intake = new Intake(sink, { table, view: (slot) => slab.view(slot) })
  const send = (range: BlockRange, cuts: readonly number[], fill: number) => {
    intake.onPayloadBegin(range)
    const ends = [...cuts.filter((cut) => cut < range.lengthBytes), range.lengthBytes]
    let at = 0
    for (const end of ends.toSorted((a, b) => a - b)) {
      if (end > at) intake.onPayload(new Uint8Array(end - at).fill(fill))
      at = end
    }
    intake.onPayloadEnd()
  }
  return { intake, blocks, seen, send }
}

function contentOf(slab: Slab, place: SlotPlace): Uint8Array {
  return slab.view(place.slot).subarray(0, PIECE_BYTES)
}

test('an Intake writes what was asked for, however it is cut, and reports each block once', () => {
  const cuts = fc.array(fc.nat({ max: PIECE_BYTES }), { maxLength: 12 })
  fc.assert(
    fc.property(cuts, (at) => {
      const { slab, place } = pieceInSlab()
      const { intake, blocks, seen, send } = sender(slab, 1)
      intake.expect(WHOLE, place)
      send(WHOLE, at, 5)
      assert.ok(contentOf(slab, place).every((byte) => byte === 5))
      const received = blocks.flatMap(({ first, end }) => [...Array(end).keys()].slice(first))
      assert.deepEqual(received, [0, 1, 2, 3])
      assert.deepEqual(seen, { bytes: PIECE_BYTES, used: PIECE_BYTES, wasted: 0, expected: [true] })
      assert.ok(blocks.every((run) => run.pieceIndex === 7 && run.generation === place.generation))
    }),
    { numRuns: 200 },
  )
})

test('an Intake throws away what was not asked for, and what was asked for once and comes twice', () => {
  const { slab, place } = pieceInSlab()
  const { intake, blocks, seen, send } = sender(slab, 1)
  intake.expect(WHOLE, place)
  send({ ...WHOLE, lengthBytes: BLOCK }, [], 9)
  assert.deepEqual(blocks, [])
  send(WHOLE, [], 5)
  send(WHOLE, [], 9)
  assert.deepEqual(seen.expected, [false, true, false])
  assert.equal(seen.wasted, BLOCK + PIECE_BYTES)
  assert.ok(contentOf(slab, place).every((byte) => byte === 5))
})

test('of two senders the one whose block is whole first is believed; the other changes nothing', () => {
  const { slab, place } = pieceInSlab()
  const slow = sender(slab, 1)
  const fast = sender(slab, 2)
  for (const { intake } of [slow, fast]) intake.expect(WHOLE, place)
  slow.intake.onPayloadBegin(WHOLE)
  slow.intake.onPayload(new Uint8Array(BLOCK + 10).fill(1))
  fast.send(WHOLE, [100, BLOCK + 5], 2)
  slow.intake.onPayload(new Uint8Array(PIECE_BYTES - BLOCK - 10).fill(1))
  slow.intake.onPayloadEnd()
  const content = contentOf(slab, place)
  assert.ok(content.subarray(0, BLOCK).every((byte) => byte === 1))
  assert.ok(content.subarray(BLOCK).every((byte) => byte === 2))
  assert.deepEqual(slow.seen, {
    ...{ bytes: PIECE_BYTES, used: BLOCK, wasted: PIECE_BYTES - BLOCK, expected: [true] },
  })
  assert.equal(fast.seen.wasted, BLOCK)
  assert.deepEqual(
    fast.blocks.map(({ first, end }) => [first, end]),
    [
      [1, 2],
      [2, 4],
    ],
  )
})

test('half a block keeps nobody from sending it, and writes nothing', () => {
  const { slab, place } = pieceInSlab()
  const stalled = sender(slab, 1)
  stalled.intake.expect(WHOLE, place)
  stalled.intake.onPayloadBegin(WHOLE)
  stalled.intake.onPayload(new Uint8Array(BLOCK - 1).fill(9))
  assert.ok(contentOf(slab, place).every((byte) => byte === 0))
  const other = sender(slab, 1)
  other.intake.expect(WHOLE, place)
  other.send(WHOLE, [], 5)
  assert.ok(contentOf(slab, place).every((byte) => byte === 5))
  assert.equal(other.seen.wasted, 0)
})

test('what comes late for a slot that has another piece by now changes nothing', () => {
  const { slab, place } = pieceInSlab()
  const late = sender(slab, 1)
  late.intake.expect(WHOLE, place)
  late.intake.onPayloadBegin(WHOLE)
  late.intake.onPayload(new Uint8Array(10).fill(9))
  assert.equal(slab.release(place.slot), true)
  const next = slab.acquire()
  assert.equal(next?.slot, place.slot)
  late.intake.onPayload(new Uint8Array(PIECE_BYTES - 10).fill(9))
  assert.equal(late.seen.wasted, PIECE_BYTES)
  assert.ok(contentOf(slab, place).every((byte) => byte === 0))
})

test('release() waits for a lane that is writing', () => {
  const { slab, place } = pieceInSlab()
  const lane = new BlockTable(slab.table.share, 1)
  lane.claim(place, 0)
  assert.equal(slab.release(place.slot), false)
  assert.equal(slab.freeSlots, 1)
  lane.markReceived(place, 0)
  assert.equal(slab.release(place.slot), true)
  assert.equal(slab.freeSlots, 2)
})

test('an Intake without slots expects nothing', () => {
  const expected: boolean[] = []
  const none = () => {}
  const sink = {
    onMessage: none,
    onBlocks: none,
    onPayload: none,
    onPayloadEnd: none,
    onDrained: none,
  }
  const intake = new Intake(
    { ...sink, onPayloadBegin: (_range, isExpected) => expected.push(isExpected) },
    undefined,
  )
  intake.onPayloadBegin(WHOLE)
  intake.onPayload(new Uint8Array(PIECE_BYTES))
  intake.onPayloadEnd()
  assert.deepEqual(expected, [false])
})
