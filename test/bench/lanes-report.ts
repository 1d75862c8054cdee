// The figures of the lanes bench: medians over the rounds, and the median of the ratios to the baseline of
// the same round.
import type { LanesMode, LanesResult } from './bench-lanes.ts'
import { median } from './measure.ts'
import { type Report } from './report.ts'

interface LanesRow {
  readonly mode: LanesMode
  readonly lanes: number
  readonly megabytesPerSecond: number
  /** To the first contestant. */
  readonly ratio: number
  readonly cpuSecondsPerGigabyte: number
  /** What the thread that decides has of it: where all lanes meet. */
  readonly controlCpuSecondsPerGigabyte: number
  readonly peakRssMebibytes: number
}

/** `results` in the order of the table; the first lanes of each mode are the baseline. */
export function lanesReport(results: readonly LanesResult[]): Report {
  const groups = Map.groupBy(results, ({ mode, lanes }) => `${mode} ${lanes}`)
  const rows = [...groups.values()].flatMap((own) => toRow(own, results))
  const lines = rows.map((row) => [
    ...[row.mode, String(row.lanes), row.megabytesPerSecond.toFixed(0), row.ratio.toFixed(2)],
    ...[row.cpuSecondsPerGigabyte.toFixed(2), row.controlCpuSecondsPerGigabyte.toFixed(2)],
    row.peakRssMebibytes.toFixed(0),
  ])
  const headings = ['mode', 'lanes', 'MB/s', 'ratio', 'CPU s/GB', 'of it network thread', 'RSS MiB']
  return { table: [headings, ...lines], rows }
}

/** `own` are the results of one contestant in one mode. */
function toRow(own: readonly LanesResult[], all: readonly LanesResult[]): LanesRow[] {
  const [first] = own
  if (first === undefined) return []
  const { mode, lanes } = first
  const baseline = all.find((result) => result.mode === mode)?.lanes
  const rateIn = (round: number) => {
    const result = all.find((r) => r.mode === mode && r.lanes === baseline && r.round === round)
    return result === undefined ? NaN : rateOf(result)
  }
  const middle = (valueOf: (result: LanesResult) => number) => median(own.map(valueOf))
  const row: LanesRow = {
    ...{ mode, lanes },
    megabytesPerSecond: middle(rateOf) / 1e6,
    ratio: middle((result) => rateOf(result) / rateIn(result.round)),
    cpuSecondsPerGigabyte: middle((result) => result.cpuSeconds / (result.bytes / 1e9)),
    controlCpuSecondsPerGigabyte: middle((r) => r.controlCpuSeconds / (r.bytes / 1e9)),
    peakRssMebibytes: middle((result) => result.peakRssBytes / 2 ** 20),
  }
  return [row]
}

function rateOf(result: LanesResult): number {
  return result.bytes / result.seconds
}
