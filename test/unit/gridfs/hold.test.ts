import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Hold } from '../../../src/gridfs/server/hold.ts'

const { signal } = new AbortController()
const waits = { waits: true, signal } as const

describe('Hold.take()', () => {
  test('gives it to one client at a time, in the order in which they asked', async () => {
    const hold = new Hold()
    await hold.take('a', waits)
    const granted: string[] = []
    const others = ['b', 'c'].map((client) =>
      hold.take(client, waits).then(() => granted.push(client)),
    )
    assert.ok(hold.isWanted)
    hold.release('a')
    await others[0]
    assert.deepEqual([granted, hold.isHeldBy('b')], [['b'], true])
    hold.release('b')
    await others[1]
    assert.deepEqual([hold.isHeldBy('c'), hold.isWanted], [true, false])
  })

  test('does no harm when its holder asks again', async () => {
    const hold = new Hold()
    await hold.take('a', waits)
    await hold.take('a', waits)
    hold.release('a')
    assert.equal(hold.isHeldBy('a'), false)
  })

  test('lets a client that asked twice wait once', async () => {
    const hold = new Hold()
    await hold.take('a', waits)
    const asked = [hold.take('b', waits), hold.take('b', waits)]
    hold.release('a')
    await Promise.all(asked)
    hold.release('b')
    assert.deepEqual([hold.isHeldBy('b'), hold.isWanted], [false, false])
  })

  test('throws EAGAIN for who does not wait', async () => {
    const hold = new Hold()
    await hold.take('a', waits)
    await assert.rejects(hold.take('b', { ...waits, waits: false }), { code: 'EAGAIN' })
  })

  test('ends with the signal, and then it is nobody’s turn', async () => {
    const hold = new Hold()
    const controller = new AbortController()
    await hold.take('a', waits)
    const waiting = hold.take('b', { waits: true, signal: controller.signal })
    controller.abort()
    await assert.rejects(waiting, { code: 'ERR_SI_ABORTED' })
    assert.equal(hold.isWanted, false)
  })

  test('is taken from a client of which nothing is heard for 10 s', async (context) => {
    let nowMs = 0
    context.mock.method(performance, 'now', () => nowMs)
    context.mock.timers.enable({ apis: ['setInterval'] })
    const hold = new Hold()
    await hold.take('a', waits)
    const waiting = hold.take('b', waits)
    nowMs = 9000
    hold.heard('a')
    nowMs = 18_000
    context.mock.timers.tick(1000)
    assert.ok(hold.isHeldBy('a'))
    nowMs = 19_001
    context.mock.timers.tick(1000)
    await waiting
    assert.ok(hold.isHeldBy('b'))
  })
})
