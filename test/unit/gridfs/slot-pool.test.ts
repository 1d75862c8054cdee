// Slots of a session on the client's side.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { SlotPool } from '../../../src/gridfs/client/slot-pool.ts'

describe('SlotPool.take()', () => {
  test('gives slots in the order in which they were asked for', async () => {
    const pool = new SlotPool([])
    pool.open(1)
    const first = await pool.take(undefined)
    const order: string[] = []
    const second = pool.take(undefined).then((slot) => {
      order.push('second')
      return slot
    })
    first.giveBack()
    // Before the waiting one runs again, somebody else comes.
    const third = pool.take(undefined).then(() => order.push('third'))
    ;(await second).giveBack()
    await third
    assert.deepEqual(order, ['second', 'third'])
  })

  test('counts the uses of a slot, and gives back once', async () => {
    const pool = new SlotPool([])
    pool.open(1)
    const first = await pool.take(undefined)
    first.giveBack()
    first.giveBack()
    const second = await pool.take(undefined)
    assert.deepEqual([first.sequence, second.sequence], [1, 2])
    const controller = new AbortController()
    const waiting = pool.take(controller.signal)
    controller.abort()
    await assert.rejects(waiting, { code: 'ERR_SI_ABORTED' })
    second.giveBack()
    assert.equal((await pool.take(undefined)).sequence, 3)
  })
})
