// What a bench is, and what it says: a table for people, rows of exact figures for programs.
import { parseArgs } from 'node:util'
import { SiError } from '../../src/core/core.ts'
import { type Row } from './measure.ts'

export interface Bench {
  /** Its options with their defaults, for the usage line. */
  readonly usage: string
  /** `args` is what follows the name of the bench. Throws ERR_SI_USAGE, or what parseArgs throws. */
  run(args: readonly string[]): Promise<Report>
}

export interface Report {
  /** First the headings, then one line per row, all of the same length. */
  readonly table: readonly (readonly string[])[]
  /** The same figures in full, to be written as JSON. */
  readonly rows: readonly object[]
}

/** How often contestants take turns. */
export function parseRounds(text: string): number {
  const rounds = Number(text)
  if (Number.isInteger(rounds) && rounds >= 1) return rounds
  throw new SiError('ERR_SI_USAGE', `Cannot run ${text} rounds`, { hint: 'Give a number from 1' })
}

export interface CompetitionOptions {
  readonly rounds: number
  /** Directories whose copy is the golden tree. */
  readonly sources: readonly string[]
}

/** A bench of whole commands that take turns on a golden tree. */
export function competition(
  compete: (options: CompetitionOptions) => Promise<readonly Row[]>,
): Bench {
  return {
    usage: '[--rounds 5] [--source /usr/bin --source /usr/share]',
    async run(args) {
      const { values } = parseArgs({
        args: [...args],
        options: {
          rounds: { type: 'string', default: '5' },
          source: { type: 'string', multiple: true, default: ['/usr/bin', '/usr/share'] },
        },
      })
      const rows = await compete({ rounds: parseRounds(values.rounds), sources: values.source })
      return { table: competitionTable(rows), rows }
    },
  }
}

function competitionTable(rows: readonly Row[]): string[][] {
  const extraNames = [...new Set(rows.flatMap((row) => Object.keys(row.extra)))]
  return [
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
}
