// The figures of the engine bench: medians over the rounds, and medians of the ratios to the baseline of
// the same round. MB and GB are decimal, as is custom for rates; memory is in MiB.
import { BASELINE } from './engine-contestants.ts'
import type { EngineResult, Storage } from './bench-engine.ts'
import { median } from './measure.ts'
import { type Report } from './report.ts'
import { type Transfer } from './transfer.ts'

const COLUMNS = [
  { figure: 'megabytesPerSecond', title: 'MB/s', digits: 0, hasRatio: true },
  { figure: 'getterCpuSecondsPerGigabyte', title: 'get CPU s/GB', digits: 2, hasRatio: true },
  { figure: 'seederCpuSecondsPerGigabyte', title: 'seed CPU s/GB', digits: 2, hasRatio: true },
  { figure: 'getterPeakRssMebibytes', title: 'get RSS MiB', digits: 0, hasRatio: false },
  { figure: 'seederPeakRssMebibytes', title: 'seed RSS MiB', digits: 0, hasRatio: false },
  { figure: 'waitSeconds', title: 'first byte s', digits: 2, hasRatio: false },
] as const

type Figure = (typeof COLUMNS)[number]['figure']
type Figures = Readonly<Record<Figure, number>>

interface EngineRow {
  readonly storage: Storage
  readonly name: string
  readonly figures: Figures
  /** To the baseline; NaN when that did not take part. */
  readonly ratios: Figures
}

export function engineReport(sizeBytes: number, results: readonly EngineResult[]): Report {
  const groups = Map.groupBy(results, ({ storage, contestant }) => `${storage} ${contestant}`)
  const rows = [...groups.values()].flatMap((own) => toRow(sizeBytes, own, results))
  const ratioTitle = `÷ ${BASELINE}`
  const headings = COLUMNS.flatMap(({ title, hasRatio }) => [
    title,
    ...(hasRatio ? [ratioTitle] : []),
  ])
  const lines = rows.map((row) => [row.storage, row.name, ...cellsOf(row)])
  return { table: [['storage', 'contestant', ...headings], ...lines], rows }
}

function cellsOf({ figures, ratios }: EngineRow): string[] {
  return COLUMNS.flatMap(({ figure, digits, hasRatio }) => {
    const ratio = Number.isNaN(ratios[figure]) ? '' : ratios[figure].toFixed(2)
    return [figures[figure].toFixed(digits), ...(hasRatio ? [ratio] : [])]
  })
}

/** `own` are the results of one contestant on one storage. */
function toRow(
  sizeBytes: number,
  own: readonly EngineResult[],
  all: readonly EngineResult[],
): EngineRow[] {
  const [first] = own
  if (first === undefined) return []
  const { storage, contestant } = first
  const baselines = all.filter((r) => r.storage === storage && r.contestant === BASELINE)
  const values = own.map(({ transfer }) => figuresOf(sizeBytes, transfer))
  const ratios = own.map(({ round }, index) => {
    const baseline = baselines.find((result) => result.round === round)
    return (figure: Figure) =>
      baseline === undefined
        ? NaN
        : (values[index]?.[figure] ?? NaN) / figuresOf(sizeBytes, baseline.transfer)[figure]
  })
  const row: EngineRow = {
    ...{ storage, name: contestant },
    figures: mapFigures((figure) => median(values.map((value) => value[figure]))),
    ratios: mapFigures((figure) => median(ratios.map((ratioOf) => ratioOf(figure)))),
  }
  return [row]
}

function mapFigures(valueOf: (figure: Figure) => number): Figures {
  const entries = COLUMNS.map(({ figure }) => [figure, valueOf(figure)] as const)
  return Object.fromEntries(entries) as Figures
}

function figuresOf(sizeBytes: number, transfer: Transfer): Figures {
  const { getter, seeder } = transfer
  const gigabytes = sizeBytes / 1e9
  return {
    megabytesPerSecond: sizeBytes / 1e6 / transfer.seconds,
    getterCpuSecondsPerGigabyte: getter.cpuSeconds / gigabytes,
    seederCpuSecondsPerGigabyte: seeder.cpuSeconds / gigabytes,
    getterPeakRssMebibytes: getter.peakRssBytes / 2 ** 20,
    seederPeakRssMebibytes: seeder.peakRssBytes / 2 ** 20,
    waitSeconds: transfer.waitSeconds,
  }
}
