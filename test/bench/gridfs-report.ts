// The figures of the gridfs bench: medians over the rounds, and medians of the ratios to sshfs of the same
// round, beside what the project promises.
import { type GridContestant } from './gridfs-contestants.ts'
import { GRID_MEASURES, type GridMeasure } from './gridfs-measures.ts'
import { median } from './measure.ts'
import { type Report } from './report.ts'

export interface GridResult {
  readonly contestant: GridContestant['name']
  readonly measure: string
  readonly round: number
  readonly figure: number
  /** Of all processes of both ends. */
  readonly cpuSeconds: number
}

export function gridReport(results: readonly GridResult[]): Report {
  const rows = GRID_MEASURES.filter(({ name }) => results.some((one) => one.measure === name)).map(
    (measure) => toRow(measure, results),
  )
  const table = rows.map((row) => [
    ...[row.measure, row.unit, text(row.si), text(row.sshfs), text(row.local)],
    ...[row.ratio.toFixed(2), `${row.unit === 's' ? '≤' : '≥'} ${row.goal}`],
    ...[row.isReached ? 'yes' : 'no', row.cpuRatio.toFixed(2)],
  ])
  const headings = ['measure', 'unit', 'si', 'sshfs', 'local', '÷ sshfs', 'goal', 'reached']
  return { table: [[...headings, 'CPU ÷ sshfs'], ...table], rows }
}

function toRow({ name, unit, goal }: GridMeasure, results: readonly GridResult[]) {
  const of = (contestant: GridContestant['name']) =>
    results.filter((one) => one.contestant === contestant && one.measure === name)
  const figure = (contestant: GridContestant['name']) => median(of(contestant).map((r) => r.figure))
  const cost = (result: GridResult | undefined) =>
    result === undefined ? NaN : costOf(result, unit)
  const [ours, theirs] = [of('si'), of('sshfs')]
  const ratio = median(ours.map((one, index) => one.figure / (theirs[index]?.figure ?? NaN)))
  return {
    ...{ measure: name, unit, si: figure('si'), sshfs: figure('sshfs'), local: figure('local') },
    ...{ ratio, goal, isReached: unit === 's' ? ratio <= goal : ratio >= goal },
    siCpuSeconds: median(ours.map((one) => one.cpuSeconds)),
    sshfsCpuSeconds: median(theirs.map((one) => one.cpuSeconds)),
    cpuRatio: median(ours.map((one, index) => cost(one) / cost(theirs[index]))),
  }
}

/** Processor time for the same work: random reads take as long as they are told to, and do more or less. */
function costOf({ cpuSeconds, figure, measure }: GridResult, unit: GridMeasure['unit']): number {
  return unit === '/s' && measure.startsWith('random') ? cpuSeconds / figure : cpuSeconds
}

function text(figure: number): string {
  return figure >= 100 ? figure.toFixed(0) : figure.toFixed(2)
}
