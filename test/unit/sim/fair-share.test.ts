// Rates of flows on small networks whose max-min fair rates are known.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FairShare, type FlowId, type PipeId } from '../../sim/fair-share.ts'
import { createRandom } from '../../sim/seeded-random.ts'

function lab(...capacities: readonly number[]) {
  const shares = new FairShare()
  const pipes = capacities.map((capacity) => shares.addPipe(capacity))
  const rates = new Map<FlowId, number>()
  const start = (...path: readonly PipeId[]) => {
    const flow = shares.addFlow(path)
    shares.start(flow)
    return flow
  }
  const stop = (flow: FlowId) => {
    shares.stop(flow)
    rates.delete(flow)
  }
  const settle = () => {
    shares.settle((flow, rate) => rates.set(flow, rate))
    return [...rates.values()].map((rate) => Math.round(rate * 1e6) / 1e6)
  }
  return { shares, pipes, rates, start, stop, settle }
}

/** Rates of flows that begin at once; paths name pipes by their place in `capacities`. */
function ratesOf(capacities: readonly number[], paths: readonly (readonly number[])[]): number[] {
  const { start, settle } = lab(...capacities)
  for (const path of paths) start(...path)
  return settle()
}

test('FairShare gives flows of one pipe the same rate', () => {
  assert.deepEqual(ratesOf([30], [[0], [0], [0]]), [10, 10, 10])
})

test('FairShare gives to the others what one flow cannot use', () => {
  assert.deepEqual(ratesOf([30, 100], [[0], [0], [0, 1], [1]]), [10, 10, 10, 90])
})

test('FairShare finds three levels of bottlenecks', () => {
  // 5 + 5 in the first; 5 + 15 in the second; 15 + 25 in the third.
  assert.deepEqual(ratesOf([10, 20, 40], [[0], [0, 1], [1, 2], [2]]), [5, 5, 15, 25])
})

test('FairShare fills a sender with four receivers of unequal links', () => {
  const rates = ratesOf(
    [100, 10, 20, 60, 60],
    [1, 2, 3, 4].map((receiver) => [0, receiver]),
  )
  assert.deepEqual(rates, [10, 20, 35, 35])
})

test('FairShare lets a link between racks bind the flows that cross it, and nobody else', () => {
  // Two senders, two receivers; the first receiver is in the senders' rack, pipe 4 leads out of it.
  const rates = ratesOf(
    [100, 100, 100, 100, 30],
    [
      [0, 2],
      [0, 4, 3],
      [1, 4, 3],
    ],
  )
  assert.deepEqual(rates, [85, 15, 15])
})

test('FairShare gives the rate of a flow that ends back', () => {
  const { pipes, start, stop, settle } = lab(30)
  const [first] = [start(...pipes), start(...pipes), start(...pipes)]
  settle()
  stop(first)
  assert.deepEqual(settle(), [15, 15])
})

test('FairShare says nothing when nothing has changed', () => {
  const { shares, pipes, start, settle } = lab(30)
  start(...pipes)
  settle()
  shares.settle(() => assert.fail('no rate has changed'))
})

test('FairShare fills random networks so that every flow has a bottleneck', () => {
  for (let seed = 0; seed < 100; seed++) {
    const random = createRandom(seed)
    const capacities = Array.from({ length: 12 }, () => 100 + Math.floor(random() * 900))
    const { rates, start, stop, settle } = lab(...capacities)
    const paths = new Map<FlowId, readonly PipeId[]>()
    for (let flow = 0; flow < 60; flow++) {
      const draw = () => Math.floor(random() * capacities.length)
      const path = [...new Set([draw(), draw(), draw()])]
      paths.set(start(...path), path)
      const gone = [...paths.keys()][Math.floor(random() * paths.size)]
      if (flow % 2 === 1 && gone !== undefined) {
        stop(gone)
        paths.delete(gone)
      }
      settle()
    }
    assertFair(capacities, paths, rates)
  }
})

function assertFair(
  capacities: readonly number[],
  paths: ReadonlyMap<FlowId, readonly PipeId[]>,
  rates: ReadonlyMap<FlowId, number>,
): void {
  const flowsOf = (pipe: PipeId) =>
    [...paths.keys()].filter((flow) => paths.get(flow)?.includes(pipe))
  const rateOf = (flow: FlowId) => rates.get(flow) ?? 0
  const used = capacities.map((_, pipe) =>
    flowsOf(pipe).reduce((sum, flow) => sum + rateOf(flow), 0),
  )
  capacities.forEach((capacity, pipe) => {
    assert.ok((used[pipe] ?? 0) <= capacity * 1.01, 'no pipe carries more than it can')
  })
  for (const [flow, path] of paths) {
    const hasBottleneck = path.some((pipe) => {
      const isFull = (used[pipe] ?? 0) >= (capacities[pipe] ?? 0) * 0.99
      return isFull && flowsOf(pipe).every((other) => rateOf(other) <= rateOf(flow) * 1.01)
    })
    assert.ok(hasBottleneck, `flow ${flow} at ${rateOf(flow)}`)
  }
}
