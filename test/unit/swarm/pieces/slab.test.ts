// The memory of a download.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isSiError } from '../../../../src/core/core.ts'
import { createSlab } from '../../../../src/swarm/swarm.ts'
import { fakeClock } from '../../../lab/fake-clock.ts'
import { createUploadBuffers } from '../../../../src/swarm/pieces/upload-buffers.ts'

test('acquire() gives every slot once and then none', () => {
  const slab = createSlab({ slotBytes: 10, slots: 3 })
  const slots = [slab.acquire(), slab.acquire(), slab.acquire()].map((place) => place?.slot)
  assert.deepEqual(slots.toSorted(), [0, 1, 2])
  assert.equal(slab.acquire(), undefined)
  assert.equal(slab.freeSlots, 0)
  assert.equal(slab.peakUsedSlots, 3)
})

test('release() tells those who wait, and refuses a slot that is free', () => {
  const slab = createSlab({ slotBytes: 10, slots: 2 })
  let count = 0
  const stop = slab.onRelease(() => count++)
  const slot = slab.acquire()?.slot ?? -1
  slab.release(slot)
  assert.equal(count, 1)
  assert.throws(
    () => slab.release(slot),
    (error) => isSiError(error, 'ERR_SI_INTERNAL'),
  )
  stop()
  slab.release(slab.acquire()?.slot ?? -1)
  assert.equal(count, 1)
})

test('view() is the slot itself, shared with other threads', () => {
  const slab = createSlab({ slotBytes: 8, slots: 2 })
  slab.view(1).fill(7)
  assert.deepEqual([...new Uint8Array(slab.memory)], [...Array(8).fill(0), ...Array(8).fill(7)])
  assert.throws(() => slab.view(2), /no slot 2/)
})

test('createUploadBuffers() makes those who come too late wait their turn', async () => {
  const buffers = createUploadBuffers({ bufferBytes: 4, buffers: 1, clock: fakeClock() })
  const first = await buffers.acquire()
  const order: string[] = []
  const second = buffers.acquire().then((buffer) => {
    order.push('second')
    buffers.release(buffer)
  })
  const third = buffers.acquire().then(() => order.push('third'))
  buffers.release(first)
  await Promise.all([second, third])
  assert.deepEqual(order, ['second', 'third'])
})

test('createUploadBuffers() has buffers given up that are lent for 30 s while others wait', async () => {
  const clock = fakeClock()
  const buffers = createUploadBuffers({ bufferBytes: 4, buffers: 2, clock })
  const overdue: string[] = []
  const lend = async (name: string) => {
    const buffer = await buffers.acquire()
    buffers.lend(buffer, () => {
      overdue.push(name)
      buffers.release(buffer)
    })
  }
  await lend('a')
  await clock.advance(10_000)
  await lend('b')
  await clock.advance(60_000)
  assert.deepEqual(overdue, []) // nobody waits
  const third = lend('c')
  await clock.advance(1)
  await third
  assert.deepEqual(overdue, ['a'])
  const others = Promise.all([lend('d'), lend('e')])
  await clock.advance(29_998)
  assert.deepEqual(overdue, ['a', 'b'])
  await clock.advance(1)
  await others
  assert.deepEqual(overdue, ['a', 'b', 'c'])
})
