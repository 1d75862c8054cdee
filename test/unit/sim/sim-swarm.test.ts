// The simulation as a whole: small swarms whose figures are known, and the same figures every time.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseSimArguments } from '../../sim/sim-arguments.ts'
import { reportOf, type SimReport } from '../../sim/sim-report.ts'
import { SimSwarm } from '../../sim/sim-swarm.ts'

function swarmOf(words: string): SimSwarm {
  const [options] = parseSimArguments(words.split(' ')).runs
  assert.ok(options)
  return new SimSwarm(options)
}

async function simulate(words: string): Promise<SimReport> {
  const swarm = swarmOf(words)
  await swarm.run()
  return reportOf(swarm)
}

const SMALL = '--pieces 32 --rate 8MiB/s'

test('SimSwarm gives the same figures for the same seed, and others for another', async () => {
  const first = await simulate(`--nodes 6 ${SMALL} --seed 7`)
  assert.deepEqual(await simulate(`--nodes 6 ${SMALL} --seed 7`), first)
  assert.notDeepEqual(await simulate(`--nodes 6 ${SMALL} --seed 8`), first)
  assert.equal(first.complete, 6)
})

test('SimSwarm brings one node the image in bytes / rate', async () => {
  const report = await simulate(`--nodes 1 ${SMALL} --latency 0ms --jitter 0ms`)
  assert.equal(report.lastSeconds, 32 / 8)
  assert.equal(report.fluidSeconds, 4)
  assert.equal(report.serverCopies, 1)
  assert.equal(report.wastedShare, 0)
})

test('SimSwarm adds ten latencies: of connecting, telling, being offered, asking, the last byte', async () => {
  const at = (latency: string) => simulate(`--nodes 1 ${SMALL} --jitter 0ms --latency ${latency}`)
  const [near, far] = [await at('0ms'), await at('10ms')]
  const addedMs = (far.lastSeconds - near.lastSeconds) * 1000
  assert.ok(addedMs > 95 && addedMs < 105, `${addedMs} ms`)
})

test('SimSwarm makes every byte sent one received, and each node get the image', async () => {
  const swarm = swarmOf(`--nodes 5 ${SMALL}`)
  await swarm.run()
  const sizeBytes = 32 * 2 ** 20
  const sum = (values: number[]) => values.reduce((a, b) => a + b, 0)
  const sent = sum(swarm.nodes.map(({ traffic }) => traffic.sentBytes))
  const received = sum(swarm.nodes.map(({ traffic }) => traffic.receivedBytes))
  assert.equal(sent + swarm.serverTraffic.sentBytes, received)
  for (const { torrent } of swarm.nodes) {
    const { downloadedBytes, wastedBytes, piecesHave } = torrent.stats()
    assert.equal(piecesHave, 32)
    assert.equal(downloadedBytes - wastedBytes, sizeBytes)
  }
  assert.deepEqual([...swarm.copies], Array(32).fill(5))
})

test('SimSwarm counts what goes from rack to rack, and nothing where there are none', async () => {
  assert.equal((await simulate(`--nodes 4 ${SMALL}`)).crossRackCopies, 0)
  assert.equal((await simulate(`--nodes 4 ${SMALL} --racks 1`)).crossRackCopies, 0)
  const apart = swarmOf(`--nodes 4 ${SMALL} --racks 4`)
  await apart.run()
  const fromNodes = apart.nodes.reduce((bytes, { traffic }) => bytes + traffic.sentBytes, 0)
  assert.equal(apart.network.crossRackBytes, fromNodes)
})

test('SimSwarm lets no rack send faster than its link to the core', async () => {
  const swarm = swarmOf(`--nodes 8 ${SMALL} --racks 2 --rack-rate 1MiB/s`)
  await swarm.run()
  // The server is at the core: all that a rack gets comes through its link.
  const report = reportOf(swarm)
  assert.ok(report.lastSeconds >= 32, `${report.lastSeconds} s`)
  assert.equal(report.complete, 8)
})

test('SimSwarm measures each node from its own coming', async () => {
  const report = await simulate(`--nodes 2 ${SMALL} --arrival late:60s --jitter 0ms`)
  assert.ok(report.last < 2, `${report.last}`)
})

test('SimSwarm gives up in time, and says how many nodes are complete', async () => {
  const swarm = swarmOf(`--nodes 2 --rates 8MiB/s:0.5,1KiB/s:0.5 --pieces 32 --server-rate 8MiB/s`)
  await swarm.time.run(() => swarm.isComplete, 20_000)
  const report = reportOf(swarm)
  assert.equal(report.complete, 1)
  assert.equal(report.last, Infinity)
  assert.ok(report.p50 < Infinity)
})

test('SimSwarm reports nodes of each speed against the time of one copy', async () => {
  const report = await simulate(
    '--nodes 10 --rates 1MiB/s:0.2,8MiB/s:0.8 --rate 8MiB/s --pieces 32',
  )
  const [fast, slow] = report.kinds
  assert.equal(report.kinds.length, 2)
  assert.deepEqual([fast?.nodes, fast?.copySeconds], [8, 4])
  assert.deepEqual([slow?.nodes, slow?.copySeconds], [2, 32])
  assert.equal(slow?.last, report.last)
})

test('a swarm stays near the limit, and its server sends little more than one copy', async () => {
  for (const seed of [1, 2]) {
    const report = await simulate(`--nodes 16 --rate 40Mbit/s --seed ${seed}`)
    assert.ok(report.last < 1.5 && report.serverCopies < 1.5, JSON.stringify(report))
  }
})
