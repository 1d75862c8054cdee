// `npm run bench -- NAME`: prints a table for people on stderr and the same figures as JSON on stdout.
import { isSiError, errnoOf, messageOf, SiError } from '../../src/core/core.ts'
import { benchCapture } from './bench-capture.ts'
import { benchDeploy } from './bench-deploy.ts'
import { benchEngine } from './bench-engine.ts'
import { benchFinish } from './bench-finish.ts'
import { benchFluid } from './bench-fluid.ts'
import { benchGridfs } from './bench-gridfs.ts'
import { benchGridfsLoad } from './bench-gridfs-load.ts'
import { benchLanes } from './bench-lanes.ts'
import { benchRepository } from './bench-repository.ts'
import { competition, type Bench, type Report } from './report.ts'

const BENCHES: Readonly<Record<string, Bench>> = {
  capture: competition(benchCapture),
  deploy: competition(benchDeploy),
  engine: benchEngine,
  finish: benchFinish,
  fluid: benchFluid,
  gridfs: benchGridfs,
  'gridfs-load': benchGridfsLoad,
  lanes: benchLanes,
  repository: benchRepository,
}

function printTable(table: Report['table']): void {
  const widths = table[0]?.map((_, column) => Math.max(...table.map((r) => r[column]?.length ?? 0)))
  for (const cells of table) {
    console.error(cells.map((cell, column) => cell.padEnd(widths?.[column] ?? 0)).join('  '))
  }
}

function printUsage(): void {
  const lines = Object.entries(BENCHES).map(
    ([name, { usage }]) => `npm run bench -- ${name} ${usage}`,
  )
  console.error(`Usage: ${lines.join('\n       ')}`)
}

const isUsageError = (error: unknown) =>
  isSiError(error, 'ERR_SI_USAGE') || errnoOf(error)?.startsWith('ERR_PARSE_ARGS') === true

const [name = '', ...args] = process.argv.slice(2)
const bench = BENCHES[name]
if (bench === undefined) {
  printUsage()
  process.exit(2)
}
try {
  const { table, rows } = await bench.run(args)
  printTable(table)
  console.log(JSON.stringify({ bench: name, rows }))
} catch (error) {
  const isInterrupt = isSiError(error, 'ERR_SI_ABORTED')
  if (!isInterrupt && !isUsageError(error)) throw error
  console.error(messageOf(error))
  if (error instanceof SiError && error.hint !== undefined) console.error(error.hint)
  if (!isInterrupt) printUsage()
  process.exitCode = isInterrupt ? 130 : 2
}
