// When flows reach their milestones; their rates: fair-share.test.ts.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FlowNetwork, type Flow } from '../../sim/flow-network.ts'
import { VirtualTime } from '../../sim/virtual-time.ts'

function lab(settleMs = 0) {
  const time = new VirtualTime()
  const network = new FlowNetwork(time, settleMs)
  const link = network.addPipe(1000)
  const ends: number[] = []
  /** A flow of so many bytes that notes when it is through. */
  const send = (bytes: number): Flow => {
    const flow = network.addFlow([link], () => {
      ends.push(time.monotonicMs())
      flow.stop()
    })
    flow.send(bytes)
    return flow
  }
  const run = () => time.run(() => false)
  return { time, network, link, ends, send, run }
}

test('Flow alone takes bytes / rate', async () => {
  const { ends, send, run } = lab()
  send(5000)
  await run()
  assert.deepEqual(ends, [5000])
})

test('two flows share a link, and the longer one has all of it afterwards', async () => {
  const { ends, send, run } = lab()
  send(1000)
  send(3000)
  await run()
  assert.deepEqual(ends, [2000, 4000])
})

test('a flow that comes later slows the first from then on', async () => {
  const { time, ends, send, run } = lab()
  send(2000)
  time.schedule(1000, () => void send(250))
  await run()
  assert.deepEqual(ends, [1500, 2250])
})

test('a flow sends on from milestone to milestone without a pause', async () => {
  const { time, network, link, run } = lab()
  const ends: number[] = []
  const flow: Flow = network.addFlow([link], () => {
    ends.push(time.monotonicMs())
    if (ends.length < 3) flow.send(100)
    else flow.stop()
  })
  flow.send(100)
  await run()
  assert.deepEqual(ends, [100, 200, 300])
})

test('a stopped flow reaches nothing and gives its share to others', async () => {
  const { time, ends, send, run } = lab()
  const first = send(10_000)
  send(1000)
  time.schedule(1000, () => first.stop())
  await run()
  assert.deepEqual(ends, [1500])
  assert.equal(first.bytesPerSecond, 0)
})

test('a flow that stops and goes on within a moment loses no time', async () => {
  const { time, network, link, run } = lab()
  const ends: number[] = []
  const flow: Flow = network.addFlow([link], () => {
    ends.push(time.monotonicMs())
    flow.stop()
    if (ends.length < 3) time.after(0, () => flow.send(100))
  })
  flow.send(100)
  await run()
  assert.deepEqual(ends, [100, 200, 300])
})

test('a flow that comes between two settlings gets what is offered; others learn of it later', async () => {
  const { time, ends, send, run } = lab(10)
  send(2000)
  time.schedule(5, () => void send(500))
  await run()
  // Both at the full rate until 10, then at half of it.
  assert.deepEqual(ends, [1000, 2495])
})
