import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fluidLimitSeconds } from '../../lab/fluid-limit.ts'

const input = { sizeBytes: 1000, pieceCount: 10, linkBytesPerSecond: 100 }

test('fluidLimitSeconds() of one node is the time of one copy', () => {
  assert.equal(fluidLimitSeconds({ ...input, nodeCount: 1 }), 10)
})

test('fluidLimitSeconds() grows by one piece for each doubling of the nodes', () => {
  assert.equal(fluidLimitSeconds({ ...input, nodeCount: 2 }), 11)
  assert.equal(fluidLimitSeconds({ ...input, nodeCount: 3 }), 11)
  assert.equal(fluidLimitSeconds({ ...input, nodeCount: 1024 }), 20)
})
