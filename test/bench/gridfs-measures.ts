// What the gridfs bench measures, in the order in which it is done on a fresh mount: what must not be in a
// cache comes first.
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { run } from '../../src/host/host.ts'
import { STATED_FILES } from './gridfs-content.ts'

export interface GridMeasure {
  readonly name: string
  readonly unit: 'MB/s' | '/s' | 's'
  /** Of ours to sshfs: at least, or at most for seconds. */
  readonly goal: number
  /** One figure in the unit. */
  measure(folder: string, sizes: GridSizes): Promise<number>
}

export interface GridSizes {
  readonly largeBytes: number
  readonly signal: AbortSignal
}

const WORKER = join(import.meta.dirname, 'gridfs-work.ts')
const CREATED_FILES = 3000
const FIO_SECONDS = 2
const NEW_FOLDER = 'created'
const NEW_FILE = 'written'

export const GRID_MEASURES: readonly GridMeasure[] = [
  {
    ...{ name: 'ls -lR of 20 000 files', unit: 's', goal: 0.5 },
    measure: (folder, { signal }) => work('list', join(folder, 'listed'), { signal }),
  },
  {
    ...{ name: 'stat', unit: '/s', goal: 1 },
    measure: perSecond('stat', 'stated', STATED_FILES),
  },
  {
    ...{ name: 'sequential read', unit: 'MB/s', goal: 1.4 },
    async measure(folder, { largeBytes, signal }) {
      return largeBytes / 1e6 / (await work('read', join(folder, 'large'), { signal }))
    },
  },
  { ...{ name: 'random read, 1 at a time', unit: '/s', goal: 0.9 }, measure: randomRead(1) },
  { ...{ name: 'random read, 16 at a time', unit: '/s', goal: 0.9 }, measure: randomRead(16) },
  {
    ...{ name: 'sequential write, fsync', unit: 'MB/s', goal: 1.2 },
    async measure(folder, { largeBytes, signal }) {
      const file = join(folder, NEW_FILE)
      const seconds = await work('write', file, { signal, count: largeBytes / 2 ** 20 })
      await rm(file)
      return largeBytes / 1e6 / seconds
    },
  },
  {
    ...{ name: 'create', unit: '/s', goal: 0.9 },
    measure: perSecond('create', NEW_FOLDER, CREATED_FILES),
  },
  {
    ...{ name: 'unlink', unit: '/s', goal: 0.7 },
    async measure(folder, sizes) {
      const rate = await perSecond('unlink', NEW_FOLDER, CREATED_FILES)(folder, sizes)
      await rm(join(folder, NEW_FOLDER), { recursive: true })
      return rate
    },
  },
]

const WARMING_FILES = 1000
const WARMING_MIB = 32

/** A mount lives for weeks: its first seconds, in which code is compiled, are not what is measured. */
export async function warmUp(folder: string, signal: AbortSignal): Promise<void> {
  const [names, file] = [join(folder, 'warming'), join(folder, 'warming-data')]
  for (const verb of ['create', 'stat', 'unlink']) {
    await work(verb, names, { signal, count: WARMING_FILES })
  }
  await work('write', file, { signal, count: WARMING_MIB })
  await rm(names, { recursive: true })
  await rm(file)
}

function perSecond(verb: string, place: string, count: number): GridMeasure['measure'] {
  return async (folder, { signal }) =>
    count / (await work(verb, join(folder, place), { signal, count }))
}

async function work(
  verb: string,
  place: string,
  options: { readonly signal: AbortSignal; readonly count?: number },
): Promise<number> {
  const { signal, count = 0 } = options
  const args = [WORKER, verb, place, String(count)]
  return Number((await run(process.execPath, args, { signal })).stdout)
}

/** Of 4 KiB, past the page cache. */
function randomRead(depth: number): GridMeasure['measure'] {
  return async (folder, { signal }) => {
    const args = [
      ...['--name=random', `--filename=${join(folder, 'large')}`, '--readonly', '--rw=randread'],
      ...['--bs=4k', '--direct=1', '--ioengine=psync', '--thread', `--numjobs=${depth}`],
      ...['--time_based', `--runtime=${FIO_SECONDS}`, '--group_reporting', '--output-format=json'],
    ]
    const { stdout } = await run('fio', args, { signal })
    const report = JSON.parse(stdout) as { jobs: { read: { iops: number } }[] }
    return report.jobs[0]?.read.iops ?? NaN
  }
}
