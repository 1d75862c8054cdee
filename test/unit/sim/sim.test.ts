// The command: what it prints where, and its exit status.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'node:test'
import { type SimReport } from '../../sim/sim-report.ts'

function sim(...words: string[]) {
  const command = join(import.meta.dirname, '../../sim/sim.ts')
  const { status, stdout, stderr } = spawnSync(process.execPath, [command, ...words], {
    ...{ encoding: 'utf8', timeout: 30_000 },
  })
  return { status, stdout, stderr }
}

const SMALL = ['--nodes', '2', '--pieces', '8', '--rate', '4MiB/s']

test('sim prints a line of JSON for each run', () => {
  const { status, stdout } = sim(...SMALL, '--runs', '2', '--json')
  assert.equal(status, 0)
  const reports = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as SimReport)
  assert.deepEqual(
    reports.map(({ complete, fluidSeconds }) => [complete, fluidSeconds]),
    [
      [2, 2],
      [2, 2],
    ],
  )
})

test('sim prints the table on stdout and the course of things on stderr', () => {
  const { status, stdout, stderr } = sim(...SMALL, '--verbose')
  assert.equal(status, 0)
  assert.match(stdout, /^ *seed +p50 .*\n +1 +\d\.\d{3} .* 2\/2 /)
  assert.match(stderr, /^ +s +server up .*\n +1\.00 /)
})

test('sim says how to write what it cannot read', () => {
  const { status, stdout, stderr } = sim('--nodes', 'many')
  assert.equal(status, 2)
  assert.equal(stdout, '')
  assert.match(stderr, /Cannot read "many" as a number of nodes\nWrite a whole number/)
})

test('sim leads its help with examples', () => {
  const { status, stdout } = sim('--help')
  assert.equal(status, 0)
  assert.match(stdout, /^npm run sim -- /)
})
