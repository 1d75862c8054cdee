import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createRandom } from '../../sim/seeded-random.ts'

test('createRandom() repeats itself for the same parts only', () => {
  const draw = (...parts: number[]) => Array.from({ length: 8 }, createRandom(...parts))
  assert.deepEqual(draw(1, 2), draw(1, 2))
  assert.notDeepEqual(draw(1, 2), draw(2, 1))
  assert.notDeepEqual(draw(1, 2), draw(1, 3))
})

test('createRandom() is uniform in [0, 1), for neighbouring seeds, too', () => {
  const tenths = new Array<number>(10).fill(0)
  for (let seed = 0; seed < 2000; seed++) {
    const random = createRandom(seed)
    for (let draw = 0; draw < 10; draw++) {
      const value = random()
      assert.ok(value >= 0 && value < 1)
      const tenth = Math.floor(value * 10)
      tenths[tenth] = (tenths[tenth] ?? 0) + 1
    }
  }
  for (const count of tenths) assert.ok(Math.abs(count - 2000) < 200, `${tenths.join(' ')}`)
})
