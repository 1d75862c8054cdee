import assert from 'node:assert/strict'
import { test } from 'node:test'
import { EventQueue } from '../../sim/event-queue.ts'
import { createRandom } from '../../sim/seeded-random.ts'

function drain(queue: EventQueue): void {
  for (let event = queue.pop(); event !== undefined; event = queue.pop()) event.run?.()
}

test('EventQueue gives events out by time', () => {
  const queue = new EventQueue()
  const seen: number[] = []
  for (const atMs of [5, 1, 4, 2, 3]) queue.push(atMs, () => seen.push(atMs))
  assert.equal(queue.nextMs, 1)
  drain(queue)
  assert.deepEqual(seen, [1, 2, 3, 4, 5])
  assert.equal(queue.nextMs, Infinity)
})

test('EventQueue gives events of the same time out in the order they were put in', () => {
  const queue = new EventQueue()
  const seen: number[] = []
  for (let n = 0; n < 100; n++) {
    if (n % 3 === 0) queue.append(7, () => seen.push(n))
    else queue.push(7, () => seen.push(n))
  }
  drain(queue)
  assert.deepEqual(
    seen,
    Array.from({ length: 100 }, (_, n) => n),
  )
})

test('EventQueue keeps the order of ten thousand events, put in both ways while others come out', () => {
  const queue = new EventQueue()
  const random = createRandom(1)
  const seen: number[] = []
  let added = 0
  let nowMs = 0
  while (added < 10_000) {
    const atMs = nowMs + Math.floor(random() * 50)
    queue.push(atMs, () => seen.push(atMs))
    const laterMs = nowMs + 10
    queue.append(laterMs, () => seen.push(laterMs))
    added += 2
    if (random() < 0.9) {
      nowMs = queue.nextMs
      queue.pop()?.run?.()
    }
  }
  drain(queue)
  assert.equal(seen.length, 10_000)
  assert.deepEqual(
    seen,
    seen.toSorted((a, b) => a - b),
  )
})

test('EventQueue sorts an event in that was appended out of order', () => {
  const queue = new EventQueue()
  const seen: string[] = []
  queue.append(20, () => seen.push('late'))
  queue.append(10, () => seen.push('early'))
  drain(queue)
  assert.deepEqual(seen, ['early', 'late'])
})

test('EventQueue hands a cancelled event out without what it would have done', () => {
  const queue = new EventQueue()
  queue.push(1, () => assert.fail('cancelled')).run = undefined
  assert.equal(queue.pop()?.run, undefined)
  assert.equal(queue.pop(), undefined)
})
