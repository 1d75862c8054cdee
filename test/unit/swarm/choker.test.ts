// Whom we send to.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { chooseUnchoked, type ChokePeer } from '../../../src/swarm/choker.ts'
import { Turn } from '../../../src/swarm/turn.ts'

const PIECE_BYTES = 1000

interface PeerSketch {
  readonly isInterested?: boolean
  readonly isUnchoked?: boolean
  readonly askedBytes?: number
  readonly changedMs?: number
}

/** Peers numbered from 0, as these describe them. */
function peersOf(sketches: readonly PeerSketch[]): ChokePeer[] {
  return sketches.map((sketch, key) => {
    const { isInterested = true, isUnchoked = false, askedBytes = 0, changedMs = 0 } = sketch
    const turn = new Turn(PIECE_BYTES)
    turn.change(changedMs)
    turn.asked(askedBytes)
    return { key, isInterested, isUnchoked, turn }
  })
}

function choose(sketches: readonly PeerSketch[], places: number, nowMs = 0): number[] {
  return [...chooseUnchoked(peersOf(sketches), { places, nowMs, random: () => 0 })]
}

test('chooseUnchoked() serves everybody who is interested while there is room', () => {
  assert.deepEqual(choose([{}, {}, { isInterested: false }, {}], 3), [0, 1, 3])
})

test('chooseUnchoked() lets those wait for whom there is no place', () => {
  assert.deepEqual(choose([{ isUnchoked: true }, {}, {}], 2), [0, 1])
})

test('chooseUnchoked() gives a free place to who has waited longest', () => {
  const peers = [{ changedMs: 30 }, { changedMs: 10 }, { changedMs: 20 }]
  assert.deepEqual(choose(peers, 2, 40), [1, 2])
})

test('chooseUnchoked() ends the turn of who has asked for a piece, if others wait', () => {
  const served = { isUnchoked: true, askedBytes: PIECE_BYTES }
  assert.deepEqual(choose([served, { isUnchoked: true }], 2), [0, 1])
  assert.deepEqual(choose([served, { isUnchoked: true }, {}], 3), [1, 2])
})

test('chooseUnchoked() keeps the place of who is still owed something, for 30 s at most', () => {
  const ending = { isUnchoked: false, askedBytes: PIECE_BYTES }
  assert.deepEqual(choose([ending, {}], 1, 30_000), [])
  assert.deepEqual(choose([ending, { changedMs: 1 }], 1, 30_001), [0])
})

test('chooseUnchoked() takes the place of who does not use it for 5 s, if others wait', () => {
  const unused = { isUnchoked: true }
  assert.deepEqual(choose([unused, {}], 1, 5000), [0])
  assert.deepEqual(choose([unused], 1, 5001), [0])
  assert.deepEqual(choose([unused, {}], 2, 5001), [1])
})

test('chooseUnchoked() chokes who is not interested any more', () => {
  assert.deepEqual(choose([{ isUnchoked: true, isInterested: false }], 1), [])
})
