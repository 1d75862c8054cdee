// What the slots of a session were used for, as the next process finds it.
import assert from 'node:assert/strict'
import { closeSync } from 'node:fs'
import { describe, test } from 'node:test'
import { memfdCreate } from '../../../src/host/host.ts'
import { SessionSlots } from '../../../src/gridfs/client/session-slots.ts'
import { SlotRecords } from '../../../src/gridfs/client/slot-records.ts'
import { operationOf } from '../../../src/gridfs/wire/message.ts'

async function withFile(use: (fd: number) => Promise<void> | void): Promise<void> {
  const fd = memfdCreate('test')
  try {
    await use(fd)
  } finally {
    closeSync(fd)
  }
}

const mkdir = operationOf('mkdir').code
const use = { sequence: 3, id: 9, operation: mkdir, unique: 40n, handle: 0 }

describe('SlotRecords', () => {
  test('gives uses in their order, and the frames of what is owed until it is settled', () =>
    withFile((fd) => {
      const records = new SlotRecords(fd)
      assert.deepEqual(records.read(), [])
      const frame = [Buffer.from('start of a frame'), Buffer.alloc(2 ** 20, 5)]
      records.use(63, { ...use, unique: 42n }, frame)
      records.use(2, use)
      const next = new SlotRecords(fd)
      const [first, second] = next.read()
      assert.deepEqual(first?.owed, frame)
      assert.deepEqual({ ...second }, { ...use, number: 2, order: 2, owed: undefined })
      next.settle(63)
      assert.equal(new SlotRecords(fd).read()[0]?.owed, undefined)
      next.use(63, { ...use, sequence: 4 })
      assert.deepEqual(
        new SlotRecords(fd).read().map(({ number, order }) => [number, order]),
        [
          [2, 2],
          [63, 3],
        ],
      )
    }))
})

describe('SessionSlots', () => {
  const request = { name: 'mkdir', handle: 0, signal: undefined, isAhead: false } as const
  const caller = (unique: bigint, isResent: boolean) => ({
    ...{ unique, isResent, uid: 0, gid: 0, pid: 1, signal: new AbortController().signal },
    onAnswered: (callback: () => void) => callbacks.push(callback),
  })
  const callbacks: (() => void)[] = []

  test('goes on with the slot of a request that comes again, and counts the others up', () =>
    withFile(async (fd) => {
      const records = new SlotRecords(fd)
      records.use(0, use)
      records.use(1, { ...use, unique: 44n, sequence: 8 })
      const slots = new SessionSlots({
        ...{ id: Buffer.alloc(16), records, used: new SlotRecords(fd).read() },
        ...{ resent: new Set([40n]), onOwed: () => {}, meet: () => Promise.resolve() },
      })
      slots.open(2)
      const fresh = await slots.take({ ...request, caller: caller(50n, false) })
      assert.deepEqual([fresh.number, fresh.sequence, fresh.id], [1, 9, undefined])
      const again = await slots.take({ ...request, caller: caller(40n, true) })
      assert.deepEqual([again.number, again.sequence, again.id], [0, 3, 9])
    }))

  test('uses a slot anew only when the server and the kernel are both answered', () =>
    withFile(async (fd) => {
      const slots = new SessionSlots({
        ...{ id: Buffer.alloc(16), records: new SlotRecords(fd), used: [] },
        ...{ resent: new Set<bigint>(), onOwed: () => {}, meet: () => Promise.resolve() },
      })
      slots.open(1)
      callbacks.length = 0
      const first = await slots.take({ ...request, caller: caller(2n, false) })
      let isGiven = false
      const second = slots.take({ ...request, caller: undefined }).finally(() => (isGiven = true))
      first.settled()
      await new Promise((resolve) => setImmediate(resolve))
      assert.equal(isGiven, false)
      for (const callback of callbacks) callback()
      assert.deepEqual((await second).sequence, 2)
    }))
})
