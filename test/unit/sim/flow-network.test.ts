// Rates of flows on small networks whose max-min fair rates are known.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Flow, FlowNetwork, Pipe } from '../../sim/flow-network.ts'
import { createRandom } from '../../sim/seeded-random.ts'
import { VirtualTime } from '../../sim/virtual-time.ts'

function lab() {
  const time = new VirtualTime()
  const network = new FlowNetwork(time)
  const ends: number[] = []
  /** A flow of so many bytes that notes when it is through. */
  const send = (bytes: number, ...pipes: Pipe[]) => {
    const flow: Flow = new Flow(network, pipes, () => {
      ends.push(time.monotonicMs())
      flow.stop()
    })
    flow.send(bytes)
    return flow
  }
  const run = () => time.run(() => false)
  return { time, network, ends, send, run }
}

/** The rates of flows that never end, once they have all begun. */
async function ratesOf(...paths: readonly (readonly Pipe[])[]): Promise<number[]> {
  const { time, send } = lab()
  const flows = paths.map((pipes) => send(Infinity, ...pipes))
  await time.run(() => false, 1)
  return flows.map((flow) => Math.round(flow.bytesPerSecond * 1e6) / 1e6)
}

test('Flow alone takes bytes / rate', async () => {
  const { ends, send, run } = lab()
  send(5000, new Pipe(1000))
  await run()
  assert.deepEqual(ends, [5000])
})

test('two flows share a link, and the longer one has all of it afterwards', async () => {
  const { ends, send, run } = lab()
  const link = new Pipe(1000)
  send(1000, link)
  send(3000, link)
  await run()
  assert.deepEqual(ends, [2000, 4000])
})

test('a flow that comes later slows the first from then on', async () => {
  const { time, ends, send, run } = lab()
  const link = new Pipe(1000)
  send(2000, link)
  time.schedule(1000, () => void send(250, link))
  await run()
  assert.deepEqual(ends, [1500, 2250])
})

test('a flow sends on without a pause', async () => {
  const { time, network, run } = lab()
  const ends: number[] = []
  const flow: Flow = new Flow(network, [new Pipe(1000)], () => {
    ends.push(time.monotonicMs())
    if (ends.length < 3) flow.send(100)
    else flow.stop()
  })
  flow.send(100)
  await run()
  assert.deepEqual(ends, [100, 200, 300])
})

test('a stopped flow is not reached and gives its share to others', async () => {
  const { time, ends, send, run } = lab()
  const link = new Pipe(1000)
  const first = send(10_000, link)
  send(1000, link)
  time.schedule(1000, () => first.stop())
  await run()
  assert.deepEqual(ends, [1500])
  assert.equal(first.bytesPerSecond, 0)
})

test('rates are max-min fair: what one cannot use goes to the others', async () => {
  // Bertsekas and Gallager's way: the narrow link gives 10 to each of its three, the wide one the rest.
  const [narrow, wide] = [new Pipe(30), new Pipe(100)]
  assert.deepEqual(await ratesOf([narrow], [narrow], [narrow, wide], [wide]), [10, 10, 10, 90])
})

test('rates are max-min fair over three levels of bottlenecks', async () => {
  const [a, b, c] = [new Pipe(10), new Pipe(20), new Pipe(40)]
  // a: 5 + 5; b: 5 + 15; c: 15 + 25.
  const rates = await ratesOf([a], [a, b], [b, c], [c])
  assert.deepEqual(rates, [5, 5, 15, 25])
})

test('one sender and four receivers of unequal links fill the sender', async () => {
  const up = new Pipe(100)
  const rates = await ratesOf(...[10, 20, 60, 60].map((rate) => [up, new Pipe(rate)]))
  assert.deepEqual(rates, [10, 20, 35, 35])
})

test('in random networks every flow has a full link on which nobody is faster', async () => {
  for (let seed = 0; seed < 50; seed++) {
    const random = createRandom(seed)
    const pipes = Array.from({ length: 12 }, () => new Pipe(100 + Math.floor(random() * 900)))
    const { time, send } = lab()
    const draw = () => pipes[Math.floor(random() * pipes.length)] as Pipe
    for (let flow = 0; flow < 30; flow++) {
      time.schedule(random() * 10, () => void send(Infinity, ...new Set([draw(), draw()])))
    }
    await time.run(() => false, 11)
    for (const pipe of pipes) {
      for (const flow of pipe.flows) {
        assert.ok(
          flow.pipes.some((link) => isBottleneck(link, flow)),
          `seed ${seed}`,
        )
      }
    }
  }
})

function isBottleneck(pipe: Pipe, flow: Flow): boolean {
  const used = pipe.flows.reduce((sum, { bytesPerSecond }) => sum + bytesPerSecond, 0)
  const fastest = Math.max(...pipe.flows.map(({ bytesPerSecond }) => bytesPerSecond))
  const capacity = pipe.bytesPerMs * 1000
  assert.ok(used <= capacity * 1.02, 'no link carries more than it can')
  return used >= capacity * 0.98 && flow.bytesPerSecond >= fastest * 0.98
}
