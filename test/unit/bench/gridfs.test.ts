// What the gridfs bench makes of its measurements.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { gridReport, type GridResult } from '../../bench/gridfs-report.ts'

function results(
  measure: string,
  figures: Readonly<Record<GridResult['contestant'], readonly number[]>>,
): GridResult[] {
  return (['local', 'sshfs', 'si'] as const).flatMap((contestant) =>
    figures[contestant].map((figure, round) => ({
      ...{ contestant, measure, round, figure, cpuSeconds: contestant === 'si' ? 3 : 2 },
    })),
  )
}

test('gridReport() compares with sshfs of the same round, then takes medians', () => {
  const { table } = gridReport(
    results('create', { local: [900, 900, 900], sshfs: [100, 200, 400], si: [90, 100, 400] }),
  )
  assert.deepEqual(table[1], [
    ...['create', '/s', '100', '200', '900', '0.90', '≥ 0.9', 'yes', '1.50'],
  ])
})

test('gridReport() takes fewer seconds for better', () => {
  const [row] = gridReport(
    results('ls -lR of 20 000 files', { local: [1], sshfs: [4], si: [2.5] }),
  ).rows
  assert.partialDeepStrictEqual(row, { ratio: 0.625, isReached: false })
})

test('gridReport() counts processor time of random reads by the read', () => {
  const measure = 'random read, 1 at a time'
  const [row] = gridReport(results(measure, { local: [9], sshfs: [100], si: [300] })).rows
  assert.partialDeepStrictEqual(row, { cpuRatio: 0.5 })
})
