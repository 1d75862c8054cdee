import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SiError } from '../../../src/core/core.ts'
import { parseSimArguments } from '../../sim/sim-arguments.ts'
import { type SimOptions } from '../../sim/sim-swarm.ts'

function parse(words: string): SimOptions {
  const [options] = parseSimArguments(words === '' ? [] : words.split(' ')).runs
  assert.ok(options)
  return options
}

test('parseSimArguments() reads rates in bits and bytes', () => {
  assert.equal(parse('--rate 40Mbit/s').serverBytesPerSecond, 5e6)
  assert.equal(parse('--rate 1MiB/s').nodes[0]?.downBytesPerSecond, 2 ** 20)
  assert.equal(parse('--rate 1MiB/s --server-rate 1Gbit/s').serverBytesPerSecond, 125e6)
  assert.equal(parse('').rackBytesPerSecond, Infinity)
})

test('parseSimArguments() gives each kind of node its part', () => {
  const { nodes } = parse('--nodes 10 --rates 125MB/s:0.8,12.5MB/s:0.2')
  const slow = nodes.filter(({ upBytesPerSecond }) => upBytesPerSecond === 12.5e6)
  assert.equal(slow.length, 2)
  assert.equal(nodes.length, 10)
  assert.deepEqual(parse('--nodes 10 --rates 125MB/s:0.8,12.5MB/s:0.2').nodes, nodes)
})

test('parseSimArguments() spreads nodes over racks evenly', () => {
  const { nodes } = parse('--nodes 10 --racks 4')
  const sizes = [...Map.groupBy(nodes, ({ rack }) => rack).values()].map(({ length }) => length)
  assert.deepEqual(sizes.toSorted(), [2, 2, 3, 3])
})

test('parseSimArguments() lets a tenth come late, or all over some time', () => {
  const late = parse('--nodes 20 --arrival late:30s').nodes.filter(
    ({ startMs }) => startMs >= 30_000,
  )
  assert.equal(late.length, 2)
  const starts = parse('--nodes 100 --arrival staggered:10s --jitter 0ms').nodes.map(
    ({ startMs }) => startMs,
  )
  assert.ok(Math.max(...starts) > 9000 && Math.max(...starts) <= 10_000)
  assert.ok(Math.min(...starts) < 1000)
})

test('parseSimArguments() makes a run for each seed', () => {
  const { runs } = parseSimArguments(['--seed', '5', '--runs', '3'])
  assert.deepEqual(
    runs.map(({ seed }) => seed),
    [5, 6, 7],
  )
})

test('parseSimArguments() reads fractions of a millisecond', () => {
  assert.equal(parse('--latency 0.05ms').latencyMs, 0.05)
  assert.equal(parse('--latency 2s').latencyMs, 2000)
})

for (const words of [
  '--nodes 0',
  '--nodes many',
  '--rate fast',
  '--arrival never',
  '--rates 1MB/s:x',
]) {
  test(`parseSimArguments() refuses ${words}`, () => {
    assert.throws(() => parse(words), SiError)
  })
}

test('parseSimArguments() settles rates sixteen times in the time of a fragment, unless told otherwise', () => {
  assert.equal(parse('--rate 1MiB/s --fragment 64KiB').settleMs, 62.5 / 16)
  assert.equal(parse('--settle 0ms').settleMs, 0)
})
