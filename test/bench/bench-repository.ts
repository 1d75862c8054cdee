// Repository commands on large images: the difference of two that differ in one file, verification against
// sha256sum of the same pack, the reading of a manifest of 200 000 entries, and the share of padding.
import { createReadStream } from 'node:fs'
import { appendFile, mkdir, readdir, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { readManifest } from '../../src/image/image.ts'
import { withScope } from '../lab/scope.ts'
import { copyGoldenTree, SI } from './golden-tree.ts'
import { compete, runQuietly, type Row } from './measure.ts'
import { parseRounds, type Bench, type Report } from './report.ts'

const MANY_ENTRIES = 200_000
const FILES_PER_FOLDER = 1000

interface Figure {
  readonly what: string
  readonly value: number
  readonly unit: string
  /** What the project promises; undefined where nothing is promised. */
  readonly atMost: number | undefined
}

export const benchRepository: Bench = {
  usage: '[--rounds 3] [--source /usr/bin --source /usr/share --source /usr/lib]',
  async run(args) {
    const { values } = parseArgs({
      args: [...args],
      options: {
        rounds: { type: 'string', default: '3' },
        source: {
          ...({ type: 'string', multiple: true } as const),
          default: ['/usr/bin', '/usr/share', '/usr/lib'],
        },
      },
    })
    const rounds = parseRounds(values.rounds)
    return withScope(async ({ directory }) => {
      const repository = join(directory, 'repository')
      const figures = [
        ...(await measureLargeImages(directory, { repository, rounds, sources: values.source })),
        ...(await measureManyEntries(directory, { repository, rounds })),
      ]
      return toReport(figures)
    })
  },
}

interface Site {
  readonly repository: string
  readonly rounds: number
}

async function measureLargeImages(
  directory: string,
  { repository, rounds, sources }: Site & { readonly sources: readonly string[] },
): Promise<Figure[]> {
  const golden = await copyGoldenTree(directory, sources)
  await getImage(golden, { repository, name: 'large', version: '1' })
  await appendFile(await firstFile(golden), 'changed')
  await getImage(golden, { repository, name: 'large', version: '2' })
  const image = join(repository, 'images/large/2')
  const pack = join(image, 'image.tar.zst')
  const command = (...words: readonly string[]) => [SI, ...words, '--repository', repository]
  const [diff] = await compete(
    [{ name: 'diff', command: command('diffimage', 'large/1', 'large/2') }],
    rounds,
  )
  const [sum, verify] = await compete(
    [
      { name: 'sha256sum', command: ['sha256sum', pack] },
      { name: 'verify', command: command('verifyimage', 'large/2') },
    ],
    rounds,
  )
  const packMb = (await stat(pack)).size / 1e6
  const { header, chunks } = await readManifest(
    createReadStream(join(image, 'manifest.jsonl.zst')),
    null,
  )
  const frameBytes = chunks.packedBytes.reduce((bytes, packed) => bytes + packed, 0)
  const paddingPercent = (100 * (header.packBytes - frameBytes)) / header.packBytes
  return [
    figure('content of each image', { value: header.contentBytes / 1e9, unit: 'GB' }),
    figure('entries of each image', { value: header.entryCount, unit: '' }),
    figure('si-diffimage', { value: seconds(diff), unit: 's', atMost: 3 }),
    figure('si-diffimage, peak RSS', { value: rssMib(diff), unit: 'MiB' }),
    figure('sha256sum', { value: packMb / seconds(sum), unit: 'MB/s' }),
    figure('si-verifyimage', { value: packMb / seconds(verify), unit: 'MB/s' }),
    figure('si-verifyimage, time ÷ sha256sum', { value: verify?.ratio ?? NaN, unit: '' }),
    figure('padding', { value: paddingPercent, unit: '% of the pack', atMost: 2 }),
  ]
}

/** One that is there in every golden tree: changing it changes nothing else. */
async function firstFile(golden: string): Promise<string> {
  const entries = await readdir(golden, { recursive: true, withFileTypes: true })
  const file = entries.find((entry) => entry.isFile())
  return file === undefined ? join(golden, 'new') : join(file.parentPath, file.name)
}

async function measureManyEntries(
  directory: string,
  { repository, rounds }: Site,
): Promise<Figure[]> {
  const tree = join(directory, 'many')
  for (let folder = 0; folder < MANY_ENTRIES / FILES_PER_FOLDER; folder++) {
    const path = join(tree, `folder-${folder}`)
    await mkdir(path, { recursive: true })
    for (let file = 1; file < FILES_PER_FOLDER; file++) {
      await writeFile(join(path, `some-file-${file}.txt`), '')
    }
  }
  await getImage(tree, { repository, name: 'many', version: '1' })
  const manifest = join(repository, 'images/many/1/manifest.jsonl.zst')
  const script = new URL('./manifest-load.ts', import.meta.url).pathname
  const [load] = await compete(
    [{ name: 'load', command: [process.execPath, script, manifest] }],
    rounds,
  )
  return [
    figure('manifest of 200 000 entries', { value: seconds(load), unit: 's', atMost: 2 }),
    figure('the same, peak RSS', { value: rssMib(load), unit: 'MiB', atMost: 300 }),
  ]
}

async function getImage(
  root: string,
  image: { readonly repository: string; readonly name: string; readonly version: string },
): Promise<void> {
  const { repository, name, version } = image
  await runQuietly([
    ...[SI, 'getimage', '--root', root, '--repository', repository],
    ...['--name', name, '--image-version', version],
  ])
}

const seconds = (row: Row | undefined) => row?.seconds ?? NaN
const rssMib = (row: Row | undefined) => (row?.peakRssBytes ?? NaN) / 2 ** 20

function figure(
  what: string,
  { value, unit, atMost }: { readonly value: number; readonly unit: string; atMost?: number },
): Figure {
  return { what, value, unit, atMost }
}

function toReport(figures: readonly Figure[]): Report {
  return {
    table: [
      ['figure', 'measured', 'unit', 'at most'],
      ...figures.map(({ what, value, unit, atMost }) => [
        ...[what, Number.isInteger(value) ? String(value) : value.toFixed(2), unit],
        atMost === undefined ? '' : String(atMost),
      ]),
    ],
    rows: figures,
  }
}
