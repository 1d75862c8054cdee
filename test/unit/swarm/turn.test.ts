// When one peer's turn at being served is over.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Turn } from '../../../src/swarm/turn.ts'

test('Turn is over when a piece has been asked for, in however many requests', () => {
  const turn = new Turn(1000)
  turn.asked(999)
  assert.equal(turn.isOver(0), false)
  turn.asked(1)
  assert.equal(turn.isOver(0), true)
  turn.change(0)
  assert.equal(turn.isOver(0), false)
})

test('Turn is over after 5 s when nothing is asked for, after 30 s anyway', () => {
  const turn = new Turn(1000)
  turn.change(100)
  assert.deepEqual([turn.isOver(5100), turn.isOver(5101)], [false, true])
  turn.asked(1)
  assert.deepEqual([turn.isOver(30_100), turn.isOver(30_101)], [false, true])
})

test('Turn is ending while what was asked for is not sent, for 30 s at most', () => {
  const turn = new Turn(1000)
  turn.asked(1000)
  turn.change(100)
  assert.deepEqual([turn.isEnding(30_100), turn.isEnding(30_101)], [true, false])
  assert.equal(turn.settled(400), false)
  assert.equal(turn.settled(600), true)
  assert.equal(turn.isEnding(100), false)
})
