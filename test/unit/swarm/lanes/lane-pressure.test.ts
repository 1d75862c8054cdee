// A lane that runs ahead of the network thread.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LanePressure } from '../../../../src/swarm/lanes/lane-pressure.ts'

const TALKER_WORDS = 64 * 1024
const LANE_WORDS = 2 ** 20

function bench() {
  let marks = 0
  const pressure = new LanePressure(() => marks++)
  const talker = () => {
    const states: string[] = []
    return { states, pause: () => states.push('paused'), resume: () => states.push('read') }
  }
  return { pressure, talker, marks: () => marks }
}

test('add() pauses who told too much, once, until it was heard', () => {
  const { pressure, talker, marks } = bench()
  const loud = talker()
  const quiet = talker()
  pressure.add(quiet, 10)
  pressure.add(loud, TALKER_WORDS)
  assert.deepEqual([loud.states, marks()], [[], 0])
  pressure.add(loud, 1)
  assert.deepEqual([loud.states, marks()], [['paused'], 1])
  pressure.heard()
  assert.deepEqual([loud.states, quiet.states, marks()], [['paused', 'read'], [], 1])
  pressure.add(loud, TALKER_WORDS)
  assert.deepEqual(loud.states, ['paused', 'read'])
})

test('what a paused one had been read already must be heard, too', () => {
  const { pressure, talker, marks } = bench()
  const loud = talker()
  pressure.add(loud, TALKER_WORDS + 1)
  pressure.add(loud, 5)
  pressure.heard()
  assert.deepEqual([loud.states, marks()], [['paused'], 2])
  pressure.heard()
  assert.deepEqual(loud.states, ['paused', 'read'])
})

test('add() pauses everybody who talks while the lane as a whole is not heard', () => {
  const { pressure, talker, marks } = bench()
  const crowd = Array.from({ length: 16 }, talker)
  for (const one of crowd) pressure.add(one, TALKER_WORDS)
  assert.equal(marks(), 0)
  assert.equal(crowd.length * TALKER_WORDS, LANE_WORDS)
  const late = talker()
  pressure.add(late, 1)
  assert.deepEqual([late.states, marks()], [['paused'], 1])
  pressure.heard()
  assert.deepEqual(late.states, ['paused', 'read'])
  pressure.add(late, 1)
  assert.deepEqual(late.states, ['paused', 'read'])
})

test('who was forgotten is not resumed', () => {
  const { pressure, talker } = bench()
  const gone = talker()
  pressure.add(gone, TALKER_WORDS + 1)
  pressure.forget(gone)
  pressure.heard()
  assert.deepEqual(gone.states, ['paused'])
})
