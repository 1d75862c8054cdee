// `npm run bench -- NAME`: prints a table for people on stderr and the same figures as JSON on stdout.
import { parseArgs } from 'node:util'
import { benchCapture } from './bench-capture.ts'
import { benchDeploy } from './bench-deploy.ts'
import type { Row } from './measure.ts'

export interface BenchOptions {
  readonly rounds: number
  /** Directories whose copy is the golden tree. */
  readonly sources: readonly string[]
}

const BENCHES: Readonly<Record<string, (options: BenchOptions) => Promise<readonly Row[]>>> = {
  capture: benchCapture,
  deploy: benchDeploy,
}

function printTable(rows: readonly Row[]): void {
  const extraNames = [...new Set(rows.flatMap((row) => Object.keys(row.extra)))]
  const table = [
    ['contestant', 'seconds', 'ratio', 'CPU s', 'peak RSS MiB', ...extraNames],
    ...rows.map((row) => [
      row.name,
      row.seconds.toFixed(2),
      row.ratio.toFixed(2),
      row.cpuSeconds.toFixed(2),
      (row.peakRssBytes / 2 ** 20).toFixed(0),
      ...extraNames.map((name) => row.extra[name]?.toFixed(3) ?? ''),
    ]),
  ]
  const widths = table[0]?.map((_, column) => Math.max(...table.map((r) => r[column]?.length ?? 0)))
  for (const cells of table) {
    console.error(cells.map((cell, column) => cell.padEnd(widths?.[column] ?? 0)).join('  '))
  }
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '5' },
    source: { type: 'string', multiple: true, default: ['/usr/bin', '/usr/share'] },
  },
})
const bench = BENCHES[positionals[0] ?? '']
if (bench === undefined) {
  console.error(
    `Usage: npm run bench -- ${Object.keys(BENCHES).join('|')} [--rounds N] [--source DIR]…`,
  )
  process.exit(2)
}
const rows = await bench({ rounds: Number(values.rounds), sources: values.source })
printTable(rows)
console.log(JSON.stringify({ bench: positionals[0], rows }))
