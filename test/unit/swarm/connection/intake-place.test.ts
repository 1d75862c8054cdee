// Payload received straight into its place: the same bytes however much of a place is filled, and blocks
// that others have meanwhile.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Intake, type PayloadCount } from '../../../../src/swarm/connection/intake.ts'
import { BlockTable } from '../../../../src/swarm/pieces/block-table.ts'
import { createSlab } from '../../../../src/swarm/swarm.ts'
import { type BlockRange } from '../../../../src/swarm/wire/wire.ts'
import { noise } from '../../../integration/swarm-lab.ts'

const BLOCK = 16384

/** Nine blocks and a bit. */
const content = noise(9 * BLOCK + 100)
const WHOLE: BlockRange = { pieceIndex: 7, offsetBytes: 0, lengthBytes: content.length }

function receiver() {
  const slab = createSlab({ slotBytes: 10 * BLOCK, slots: 1 })
  const place = slab.acquire()
  assert.ok(place)
  const blocks: number[] = []
  const seen = { bytes: 0, usedBytes: 0, wastedBytes: 0 }
  const table = new BlockTable(slab.table.share, 1)
  const intake = new Intake(
    {
      onMessage() {},
      onPayloadBegin() {},
      onBlocks({ first, end }) {
        for (let block = first; block < end; block++) blocks.push(block)
      },
      onPayload(count: PayloadCount) {
        seen.bytes += count.bytes
        seen.usedBytes += count.usedBytes
        seen.wastedBytes += count.wastedBytes
      },
      onPayloadEnd() {},
      onDrained() {},
    },
    { table, view: (slot) => slab.view(slot) },
  )
  intake.expect(WHOLE, place)
  intake.onPayloadBegin(WHOLE)
  let at = 0
  return {
    ...{ slab, intake, blocks, seen, place },
    other: new BlockTable(slab.table.share, 2),
    isWhole: () => at === content.length,
    /** So much has come; of the place for it only a part is filled. */
    come(mostBytes: number, filledBytes: number) {
      const most = Math.min(mostBytes, content.length - at)
      const into = intake.place(most)
      const length = Math.min(filledBytes, into?.length ?? most)
      const bytes = content.subarray(at, at + length)
      at += length
      into?.set(bytes)
      if (into !== undefined) intake.placed(length)
      else if (length > 0) intake.onPayload(bytes)
    },
  }
}

test('an Intake receives the same into its places, however they are filled', () => {
  const size = fc.oneof(fc.nat({ max: 40 }), fc.nat({ max: 4 * BLOCK }))
  const steps = fc.array(fc.tuple(size, size), { maxLength: 30 })
  fc.assert(
    fc.property(steps, (list) => {
      const { slab, blocks, seen, come, isWhole } = receiver()
      for (const [mostBytes, filledBytes] of list) come(mostBytes, filledBytes)
      while (!isWhole()) come(3 * BLOCK, 3 * BLOCK)
      assert.ok(content.equals(slab.view(0).subarray(0, content.length)))
      assert.deepEqual(blocks, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
      const bytes = content.length
      assert.deepEqual(seen, { bytes, usedBytes: bytes, wastedBytes: 0 })
    }),
    { numRuns: 300 },
  )
})

test('an Intake leaves blocks alone that another has, and counts what comes of them as wasted', () => {
  const { blocks, seen, come, isWhole, other, place, slab } = receiver()
  for (const block of [0, 3, 4, 9]) {
    assert.ok(other.claim(place, block))
    other.markReceived(place, block)
  }
  while (!isWhole()) come(2 * BLOCK + 5, 2 * BLOCK + 5)
  assert.deepEqual(blocks, [1, 2, 5, 6, 7, 8])
  assert.equal(seen.wastedBytes, 3 * BLOCK + 100)
  assert.equal(seen.usedBytes, 6 * BLOCK)
  assert.ok(
    slab
      .view(0)
      .subarray(0, BLOCK)
      .every((byte) => byte === 0),
  )
  assert.ok(content.subarray(BLOCK, 3 * BLOCK).equals(slab.view(0).subarray(BLOCK, 3 * BLOCK)))
})

test('blocks that were claimed and did not come are free again', () => {
  const { come, other, place, blocks } = receiver()
  come(6 * BLOCK, 2 * BLOCK + 7)
  assert.deepEqual(blocks, [0, 1])
  for (const block of [2, 3, 4, 5]) assert.ok(other.claim(place, block), `block ${block}`)
  assert.equal(other.claim(place, 1), false)
})

test('a place is told for long expected payload only', () => {
  const { intake } = receiver()
  intake.onPayloadEnd()
  intake.onPayloadBegin(WHOLE)
  assert.equal(intake.place(BLOCK), undefined)
  const { intake: short, place } = receiver()
  const range = { ...WHOLE, lengthBytes: BLOCK }
  short.expect(range, place)
  short.onPayloadBegin(range)
  assert.equal(short.place(BLOCK), undefined)
})
