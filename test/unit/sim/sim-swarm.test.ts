// The simulation as a whole: small swarms whose figures are known, and the same figures every time.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseSimArguments } from '../../sim/sim-arguments.ts'
import { reportOf, type SimReport } from '../../sim/sim-report.ts'
import { SimSwarm } from '../../sim/sim-swarm.ts'

async function simulate(words: string): Promise<SimReport> {
  const [options] = parseSimArguments(words.split(' ')).runs
  assert.ok(options)
  const swarm = new SimSwarm(options)
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
