// How long phases took, by a clock that tells exact numbers.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createPhaseTimes } from '../../../src/netboot/node/phase-times.ts'
import { fakeClock } from '../../lab/fake-clock.ts'

test('createPhaseTimes() adds up a phase that comes again and leaves out the shortest', async () => {
  const clock = fakeClock()
  const times = createPhaseTimes(clock)
  for (const [phase, ms] of [
    ['reading', 1000],
    ['syncing', 50],
    ['writing', 4000],
    ['reading', 500],
  ] as const) {
    times.enter(phase)
    await clock.advance(ms)
  }
  assert.equal(times.describe(), 'reading 1.5 s, writing 4.0 s')
  await clock.advance(1000)
  assert.equal(times.describe(), 'reading 2.5 s, writing 4.0 s')
})
