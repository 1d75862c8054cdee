// The claims of blocks, races simulated with two views of the same memory.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isSiError } from '../../../../src/core/core.ts'
import {
  BlockTable,
  createBlockTable,
  MAX_LANES,
} from '../../../../src/swarm/pieces/block-table.ts'

function views(blocksPerSlot = 4) {
  const share = createBlockTable(2, blocksPerSlot)
  const [owner, first, second] = [0, 1, 2].map((lane) => new BlockTable(share, lane))
  assert.ok(owner && first && second)
  return { owner, first, second }
}

test('claim() lets one of two lanes write a block, and nobody after it was received', () => {
  const { owner, first, second } = views()
  const place = owner.open(1)
  assert.equal(first.claim(place, 2), true)
  assert.equal(second.claim(place, 2), false)
  assert.equal(first.claim(place, 2), false)
  first.markReceived(place, 2)
  assert.equal(second.claim(place, 2), false)
  assert.equal(second.claim(place, 3), true)
})

test('claim() refuses a slot that was never opened, or was opened for another piece since', () => {
  const { owner, first } = views()
  assert.equal(first.claim({ slot: 0, generation: 0 }, 0), false)
  const before = owner.open(0)
  assert.equal(owner.seal(0), true)
  assert.equal(first.claim(before, 0), false)
  const after = owner.open(0)
  assert.notEqual(after.generation, before.generation)
  assert.equal(first.claim(before, 0), false)
  assert.equal(first.claim(after, 0), true)
})

test('seal() fails while a lane writes, and leaves all as it was', () => {
  const { owner, first, second } = views()
  const place = owner.open(0)
  first.claim(place, 3)
  assert.equal(owner.seal(0), false)
  assert.equal(second.claim(place, 0), true)
  second.markReceived(place, 0)
  first.markReceived(place, 3)
  assert.equal(owner.seal(0), true)
  assert.equal(second.claim(place, 1), false)
})

test('generations come round after 2^24 slots without being mistaken', () => {
  const { owner, first } = views(1)
  new Int32Array(owner.share.words)[0] = (0xffffff << 8) | 255
  const place = owner.open(0)
  assert.equal(place.generation, 0)
  assert.equal(first.claim({ slot: 0, generation: 0xffffff }, 0), false)
  assert.equal(first.claim(place, 0), true)
})

test('forgetLane() frees what a dead lane was writing and what it received unheard', () => {
  const { owner, first, second } = views()
  const place = owner.open(0)
  for (const block of [0, 1, 2]) first.claim(place, block)
  first.markReceived(place, 0)
  first.markReceived(place, 1)
  owner.markReceived(place, 0)
  second.claim(place, 3)
  owner.forgetLane(1)
  assert.equal(second.claim(place, 0), false)
  assert.equal(second.claim(place, 1), true)
  assert.equal(second.claim(place, 2), true)
  assert.equal(first.claim(place, 3), false)
})

test('the last lane has states of its own, and there is none beyond it', () => {
  const share = createBlockTable(1, 2)
  const owner = new BlockTable(share, 0)
  const last = new BlockTable(share, MAX_LANES)
  const place = owner.open(0)
  last.claim(place, 0)
  assert.equal(owner.seal(0), false)
  last.markReceived(place, 0)
  assert.equal(owner.seal(0), true)
  assert.throws(
    () => new BlockTable(share, MAX_LANES + 1),
    (error) => isSiError(error, 'ERR_SI_INTERNAL'),
  )
})
