// `npm run sim`: the swarm under virtual time. The table is the result, on stdout; all else is on stderr.
import { isSiError, messageOf } from '../../src/core/core.ts'
import { parseSimArguments, USAGE, type SimArguments } from './sim-arguments.ts'
import { reportOf, type KindReport, type SimReport } from './sim-report.ts'
import { SimSwarm } from './sim-swarm.ts'
import { startTimeline, TIMELINE_HEAD } from './sim-timeline.ts'

interface Row extends SimReport {
  readonly seed: number
  readonly wallSeconds: number
}

const COLUMNS: readonly (readonly [string, (row: Row) => string])[] = [
  ['seed', (row) => String(row.seed)],
  ['p50', (row) => row.p50.toFixed(3)],
  ['p99', (row) => row.p99.toFixed(3)],
  ['last', (row) => row.last.toFixed(3)],
  ['last s', (row) => row.lastSeconds.toFixed(2)],
  ['fluid s', (row) => row.fluidSeconds.toFixed(2)],
  ['server/image', (row) => row.serverCopies.toFixed(3)],
  ['cross-rack/image', (row) => row.crossRackCopies.toFixed(1)],
  ['wasted', (row) => `${(100 * row.wastedShare).toFixed(2)} %`],
  ['complete', (row) => `${row.complete}/${row.nodes}`],
  ['events', (row) => String(row.events)],
  ['wall s', (row) => row.wallSeconds.toFixed(1)],
]

const KIND_COLUMNS: readonly (readonly [
  string,
  (kind: KindReport & { seed: number }) => string,
])[] = [
  ['seed', ({ seed }) => String(seed)],
  ['nodes at', ({ downBytesPerSecond }) => `${(downBytesPerSecond / 1e6).toFixed(2)} MB/s`],
  ['count', ({ nodes }) => String(nodes)],
  ['copy s', ({ copySeconds }) => copySeconds.toFixed(2)],
  ['p50/copy', ({ p50 }) => p50.toFixed(3)],
  ['last/copy', ({ last }) => last.toFixed(3)],
]

function printTable<T>(
  columns: readonly (readonly [string, (row: T) => string])[],
  rows: readonly T[],
): void {
  const lines = [
    columns.map(([name]) => name),
    ...rows.map((row) => columns.map(([, of]) => of(row))),
  ]
  const widths = columns.map((_, at) => Math.max(...lines.map((line) => line[at]?.length ?? 0)))
  for (const line of lines) {
    console.log(line.map((cell, at) => cell.padStart(widths[at] ?? 0)).join('  '))
  }
}

async function simulate({ runs, isVerbose, isJson, everyMs }: SimArguments): Promise<Row[]> {
  const rows: Row[] = []
  for (const options of runs) {
    const swarm = new SimSwarm(options)
    if (isVerbose) {
      console.error(TIMELINE_HEAD)
      startTimeline(swarm, everyMs, (line) => console.error(line))
    }
    const startedMs = performance.now()
    await swarm.run()
    const wallSeconds = (performance.now() - startedMs) / 1000
    const row = { seed: options.seed, ...reportOf(swarm), wallSeconds }
    if (isJson) console.log(JSON.stringify(row))
    rows.push(row)
  }
  return rows
}

async function main(words: readonly string[]): Promise<number> {
  let parsed: SimArguments
  try {
    parsed = parseSimArguments(words)
  } catch (error) {
    console.error(`sim: ${messageOf(error)}`)
    if (isSiError(error) && error.hint !== undefined) console.error(error.hint)
    return 2
  }
  if (parsed.isHelp) {
    console.log(USAGE)
    return 0
  }
  const rows = await simulate(parsed)
  if (!parsed.isJson) {
    printTable(COLUMNS, rows)
    const kinds = rows.flatMap((row) => row.kinds.map((kind) => ({ ...kind, seed: row.seed })))
    if (kinds.length > rows.length) printTable(KIND_COLUMNS, kinds)
  }
  return rows.every(({ complete, nodes }) => complete === nodes) ? 0 : 1
}

process.exitCode = await main(process.argv.slice(2))
