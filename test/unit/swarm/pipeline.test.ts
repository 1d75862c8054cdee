// How much to ask for at once.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { planPipeline, RateMeter, type PipelineInput } from '../../../src/swarm/pipeline.ts'

const MIB = 2 ** 20
const OWN: PipelineInput = {
  ...{ bytesPerSecond: 0, pieceLengthBytes: 4 * MIB, maxRequestBytes: 4 * MIB },
  ...{ requestQueue: 500, isSnubbed: false, unaskedBytes: 1000 * MIB, peerCount: 1 },
}

test('planPipeline() begins with half a MiB', () => {
  assert.deepEqual(planPipeline(OWN), { targetBytes: MIB / 2, rangeBytes: MIB / 2 })
})

test('planPipeline() asks a fast peer of ours for whole pieces, two at a time', () => {
  const plan = planPipeline({ ...OWN, bytesPerSecond: 1000 * MIB })
  assert.deepEqual(plan, { targetBytes: 8 * MIB, rangeBytes: 4 * MIB })
})

test('planPipeline() asks a slower peer for a quarter of a second', () => {
  const plan = planPipeline({ ...OWN, bytesPerSecond: 5 * MIB })
  assert.deepEqual(plan, { targetBytes: 1.25 * MIB, rangeBytes: 1.25 * MIB })
})

test('planPipeline() asks foreign peers for single blocks, within their queue', () => {
  const foreign = { ...OWN, maxRequestBytes: 16384, bytesPerSecond: 1000 * MIB }
  assert.deepEqual(planPipeline(foreign), { targetBytes: 500 * 16384, rangeBytes: 16384 })
  assert.equal(planPipeline({ ...foreign, requestQueue: 10 }).targetBytes, 10 * 16384)
})

test('planPipeline() asks foreign peers for two seconds, which some sleep between answers', () => {
  const foreign = { ...OWN, maxRequestBytes: 16384, bytesPerSecond: MIB }
  assert.equal(planPipeline(foreign).targetBytes, 2 * MIB)
})

test('planPipeline() takes smaller ranges towards the end', () => {
  const end = { ...OWN, bytesPerSecond: 1000 * MIB, peerCount: 4 }
  assert.equal(planPipeline({ ...end, unaskedBytes: 8 * MIB }).rangeBytes, MIB)
  assert.equal(planPipeline({ ...end, unaskedBytes: 0 }).rangeBytes, 64 * 1024)
})

test('planPipeline() asks a snubbed peer for one block', () => {
  assert.deepEqual(planPipeline({ ...OWN, isSnubbed: true }), { targetBytes: 1, rangeBytes: 16384 })
})

test('RateMeter settles at the true rate and forgets', () => {
  const meter = new RateMeter(0)
  for (let nowMs = 10; nowMs <= 5000; nowMs += 10) meter.add(1000, nowMs)
  assert.ok(Math.abs(meter.bytesPerSecond(5000) - 100_000) < 1500)
  assert.ok(meter.bytesPerSecond(15_000) < 1000)
})
