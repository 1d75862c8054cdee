import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fluidLimitSeconds, swarmLimitSeconds } from '../../lab/fluid-limit.ts'

const input = { sizeBytes: 1000, pieceCount: 10, linkBytesPerSecond: 100 }

test('fluidLimitSeconds() of one node is the time of one copy', () => {
  assert.equal(fluidLimitSeconds({ ...input, nodeCount: 1 }), 10)
})

test('fluidLimitSeconds() grows by one piece for each doubling of the nodes', () => {
  assert.equal(fluidLimitSeconds({ ...input, nodeCount: 2 }), 11)
  assert.equal(fluidLimitSeconds({ ...input, nodeCount: 3 }), 11)
  assert.equal(fluidLimitSeconds({ ...input, nodeCount: 1024 }), 20)
})

const swarm = { sizeBytes: 1000, serverBytesPerSecond: 100 }
const node = (upBytesPerSecond: number, downBytesPerSecond: number) => ({
  ...{ upBytesPerSecond, downBytesPerSecond },
})

test('swarmLimitSeconds() over equal links is the time of one copy, however many nodes', () => {
  for (const count of [1, 2, 1000]) {
    const nodes = Array.from({ length: count }, () => node(100, 100))
    assert.equal(swarmLimitSeconds({ ...swarm, nodes }), 10)
  }
})

test('swarmLimitSeconds() waits for the slowest node', () => {
  assert.equal(swarmLimitSeconds({ ...swarm, nodes: [node(100, 100), node(100, 20)] }), 50)
})

test('swarmLimitSeconds() waits for the server to send each byte once', () => {
  const nodes = [node(1000, 1000), node(1000, 1000)]
  assert.equal(swarmLimitSeconds({ ...swarm, nodes }), 10)
  assert.equal(swarmLimitSeconds({ ...swarm, serverBytesPerSecond: 1, nodes }), 1000)
})

test('swarmLimitSeconds() is bound by all uploads together where nodes send little', () => {
  // Four copies through 100 + 4 x 25.
  const nodes = Array.from({ length: 4 }, () => node(25, 1000))
  assert.equal(swarmLimitSeconds({ ...swarm, nodes }), 20)
})
