import assert from 'node:assert/strict'
import { test } from 'node:test'
import { VirtualTime } from '../../sim/virtual-time.ts'

const never = () => false

test('VirtualTime jumps to each event and stops when nothing is left', async () => {
  const time = new VirtualTime()
  const seen: number[] = []
  time.schedule(3_600_000, () => seen.push(time.monotonicMs()))
  time.schedule(250, () => seen.push(time.monotonicMs()))
  await time.run(never)
  assert.deepEqual(seen, [250, 3_600_000])
  assert.equal(time.events, 2)
})

test('VirtualTime settles promises before time goes on, however long their chain', async () => {
  const time = new VirtualTime()
  const seen: string[] = []
  time.schedule(1, () => {
    void (async () => {
      for (let step = 0; step < 50; step++) await Promise.resolve()
      seen.push(`promise at ${time.monotonicMs()}`)
      time.after(0, () => seen.push(`soon at ${time.monotonicMs()}`))
    })()
  })
  time.schedule(2, () => seen.push('next'))
  await time.run(never)
  assert.deepEqual(seen, ['promise at 1', 'soon at 1', 'next'])
})

test('VirtualTime does not call back what was cancelled, nor go beyond its end', async () => {
  const time = new VirtualTime()
  time.schedule(1, () => assert.fail('cancelled'))()
  time.schedule(11, () => assert.fail('after the end'))
  await time.run(never, 10)
  assert.equal(time.events, 0)
})

test('VirtualTime tells the end of a moment once all of it has happened', async () => {
  const time = new VirtualTime()
  const seen: string[] = []
  time.onMomentEnds(() => seen.push(`end of ${time.monotonicMs()}`))
  time.schedule(1, () => {
    seen.push('first')
    time.after(0, () => seen.push('second'))
  })
  await time.run(never)
  assert.deepEqual(seen, ['end of 0', 'first', 'second', 'end of 1'])
})
