import assert from 'node:assert/strict'
import { test } from 'node:test'
import { arrivalSeconds } from '../../bench/fluid-arrival.ts'
import { percentile } from '../../bench/fluid-report.ts'

test('arrivalSeconds() brings all nodes at once', () => {
  assert.deepEqual(arrivalSeconds('all', 3, 60), [0, 0, 0])
})

test('arrivalSeconds() spreads staggered nodes over the time of one copy', () => {
  assert.deepEqual(arrivalSeconds('staggered', 4, 60), [0, 15, 30, 45])
})

test('arrivalSeconds() brings a tenth of the nodes, rounded up, when half a copy is over', () => {
  assert.deepEqual(arrivalSeconds('late', 12, 60), [...Array<number>(10).fill(0), 30, 30])
})

test('percentile() is the value at the nearest rank', () => {
  const values = [5, 1, 4, 2, 3]
  assert.equal(percentile(values, 0.5), 3)
  assert.equal(percentile(values, 0.99), 5)
  assert.equal(percentile(values, 0.01), 1)
  assert.equal(percentile([], 0.5), NaN)
})
