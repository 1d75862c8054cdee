// What the engine bench makes of its measurements.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isSiError } from '../../../src/core/core.ts'
import type { EngineResult } from '../../bench/bench-engine.ts'
import { BASELINE, engineContestants } from '../../bench/engine-contestants.ts'
import { engineReport } from '../../bench/engine-report.ts'
import { requireProgram } from '../../lab/foreign/client-program.ts'

const MIB = 2 ** 20

function result(contestant: string, round: number, seconds: number): EngineResult {
  const getter = { cpuSeconds: 2 * seconds, peakRssBytes: 100 * MIB }
  const seeder = { cpuSeconds: seconds, peakRssBytes: 50 * MIB }
  const transfer = { seconds, waitSeconds: 0.25, getter, seeder }
  return { storage: 'tmpfs', contestant, round, transfer }
}

test('engineReport() compares with the baseline of the same round, then takes medians', () => {
  const results = [
    ...[2, 4, 10].map((seconds, round) => result(BASELINE, round, seconds)),
    ...[1, 1, 20].map((seconds, round) => result('si', round, seconds)),
  ]
  const { table } = engineReport(1e9, results)
  const [, baseline, si] = table
  assert.equal(baseline?.join(' '), `tmpfs ${BASELINE} 250 1.00 8.00 1.00 4.00 1.00 100 50 0.25`)
  assert.equal(si?.join(' '), 'tmpfs si 1000 2.00 2.00 0.50 1.00 0.50 100 50 0.25')
})

test('engineReport() leaves ratios out where the baseline did not take part', () => {
  const { table } = engineReport(1e9, [result('si', 0, 1)])
  assert.equal(table[1]?.join('|'), 'tmpfs|si|1000||2.00||1.00||100|50|0.25')
})

test('engineContestants() has ours plain and with TLS for each number of lanes', () => {
  const names = (lanes: readonly number[]) =>
    engineContestants({ sizeBytes: MIB, lanes, only: ['si'] }).map(({ name }) => name)
  assert.deepEqual(names([]), ['si', 'si --tls'])
  assert.deepEqual(names([1, 2]), [
    ...['si --lanes 1', 'si --lanes 1 --tls'],
    ...['si --lanes 2', 'si --lanes 2 --tls'],
  ])
})

test('engineContestants() refuses names it does not know', () => {
  const only = ['azureus']
  assert.throws(
    () => engineContestants({ sizeBytes: MIB, lanes: [], only }),
    (error) => isSiError(error, 'ERR_SI_USAGE'),
  )
})

test('requireProgram() names the package of a program that is missing', async () => {
  await assert.rejects(requireProgram('azureus-daemon', 'azureus'), {
    code: 'ERR_SI_PROGRAM_MISSING',
    message: 'Program "azureus-daemon" is not installed',
    hint: 'Install the package azureus',
  })
})
