import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { isSiError } from '../../../src/core/core.ts'
import { LockTable, type LockRequest } from '../../../src/gridfs/lock-table.ts'

const request = (
  owner: string,
  type: 'read' | 'write' | 'unlock',
  [start, end]: readonly [number, number] = [0, 99],
): LockRequest => ({ owner, lock: { start: BigInt(start), end: BigInt(end), type, pid: 1 } })

const isErrno = (code: string) => (error: unknown) => (error as { code?: string }).code === code

test('LockTable keeps to what a table of single bytes allows', () => {
  const step = fc.record({
    owner: fc.constantFrom('a', 'b', 'c'),
    type: fc.constantFrom('read' as const, 'write' as const, 'unlock' as const),
    start: fc.integer({ min: 0, max: 19 }),
    length: fc.integer({ min: 1, max: 8 }),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const table = new LockTable()
      const bytes = Array.from({ length: 30 }, () => new Map<string, 'read' | 'write'>())
      for (const { owner, type, start, length } of steps) {
        const range = bytes.slice(start, start + length)
        const isFree = range.every((byte) =>
          [...byte].every(([who, what]) => who === owner || (what === 'read' && type === 'read')),
        )
        const isPossible = type === 'unlock' || isFree
        const act = () => table.set('f', request(owner, type, [start, start + length - 1]))
        if (!isPossible) assert.throws(act, isErrno('EAGAIN'))
        else {
          act()
          for (const byte of range) {
            if (type === 'unlock') byte.delete(owner)
            else byte.set(owner, type)
          }
        }
      }
      for (const [index, byte] of bytes.entries()) {
        const found = table.conflict('f', request('z', 'write', [index, index]))
        assert.equal(found !== undefined, byte.size > 0)
      }
      for (const owner of ['a', 'b', 'c']) table.release('f', owner)
      assert.equal(table.size, 0)
    }),
  )
})

test('LockTable grants waiting locks in their order', async () => {
  const table = new LockTable()
  const { signal } = new AbortController()
  table.set('f', request('a', 'write'))
  const order: string[] = []
  const waits = ['b', 'c'].map((owner) =>
    table.wait('f', request(owner, 'write'), signal).then(() => order.push(owner)),
  )
  table.release('f', 'a')
  await waits[0]
  assert.deepEqual(order, ['b'])
  assert.equal(table.conflict('f', request('z', 'read'))?.type, 'write')
  table.release('f', 'b')
  await Promise.all(waits)
  table.release('f', 'c')
  assert.equal(table.size, 0)
})

test('LockTable grants all readers that wait for one writer', async () => {
  const table = new LockTable()
  const { signal } = new AbortController()
  table.set('f', request('a', 'write'))
  const waits = ['b', 'c', 'd'].map((owner) => table.wait('f', request(owner, 'read'), signal))
  table.set('f', request('a', 'read'))
  await Promise.all(waits)
})

test('LockTable ends a wait with its signal, and leaves nothing of it', async () => {
  const table = new LockTable()
  const controller = new AbortController()
  table.set('f', request('a', 'write'))
  const wait = table.wait('f', request('b', 'write'), controller.signal)
  controller.abort()
  await assert.rejects(wait, (error) => isSiError(error, 'ERR_SI_ABORTED'))
  table.release('f', 'a')
  assert.equal(table.size, 0)
})

test('LockTable refuses to wait for somebody who waits for the same owner', async () => {
  const table = new LockTable()
  const { signal } = new AbortController()
  table.set('f', request('a', 'write'))
  table.set('g', request('b', 'write'))
  table.set('h', request('c', 'write'))
  const first = table.wait('g', request('a', 'write'), signal)
  const second = table.wait('h', request('b', 'write'), signal)
  await assert.rejects(table.wait('f', request('c', 'write'), signal), isErrno('EDEADLK'))
  table.releaseOwners((owner) => owner === 'c')
  await second
  table.releaseOwners((owner) => owner === 'b')
  await first
})
