// Repository commands on large images: the difference of two that differ in one file, verification against
// sha256sum of the same pack, the reading of a manifest of 200 000 entries, the share of padding, and what the
// check of a signature costs a deployment.
import { createReadStream, mkdirSync, writeFileSync } from 'node:fs'
import { appendFile, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { readManifest } from '../../src/image/image.ts'
import { makeCertificates } from '../lab/certificates.ts'
import { withScope, type Scope } from '../lab/scope.ts'
import { createTarget, DEPLOY, startServer } from './deploy-site.ts'
import { copyGoldenTree, SI } from './golden-tree.ts'
import { compete, runQuietly, type Row } from './measure.ts'
import { parseRounds, type Bench, type Report } from './report.ts'

const MANY_ENTRIES = 200_000
const FILES_PER_FOLDER = 1000
/** The check of a signature may cost a twentieth of a deployment. */
const SIGNATURE_AT_MOST = 1.05

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
    return withScope(async (scope) => {
      const { directory } = scope
      const pki = await makeCertificates(join(directory, 'pki'))
      const site = { repository: join(directory, 'repository'), rounds, pki }
      const figures = [
        ...(await measureLargeImages(directory, { ...site, sources: values.source })),
        ...(await measureManyEntries(directory, site)),
        ...(await measureSignature(scope, site)),
      ]
      return toReport(figures)
    })
  },
}

interface Site {
  readonly repository: string
  readonly rounds: number
  /** Options that make commands sign and check. */
  readonly pki: readonly string[]
}

async function measureLargeImages(
  directory: string,
  site: Site & { readonly sources: readonly string[] },
): Promise<Figure[]> {
  const { repository, rounds, sources, pki } = site
  const golden = await copyGoldenTree(directory, sources)
  await getImage(golden, site, 'large/1')
  await appendFile(await firstFile(golden), 'changed')
  await getImage(golden, site, 'large/2')
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
      { name: 'verify', command: command('verifyimage', 'large/2', ...pki) },
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

async function measureManyEntries(directory: string, site: Site): Promise<Figure[]> {
  const { repository, rounds } = site
  const tree = join(directory, 'many')
  for (let folder = 0; folder < MANY_ENTRIES / FILES_PER_FOLDER; folder++) {
    const path = join(tree, `folder-${folder}`)
    mkdirSync(path, { recursive: true })
    for (let file = 1; file < FILES_PER_FOLDER; file++) {
      writeFileSync(join(path, `some-file-${file}.txt`), '')
    }
  }
  await getImage(tree, site, 'many/1')
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

/** One image deployed with and without a look at its signature; SHA-256 of every piece is checked by both. */
async function measureSignature(
  scope: Scope,
  { repository, rounds, pki }: Site,
): Promise<Figure[]> {
  const url = await startServer(scope, { repository, image: 'large/2' })
  const target = await createTarget(scope)
  const contestant = (name: string, options: readonly string[]) => ({
    ...{ name, prepare: target.renew },
    command: [...DEPLOY, '--torrent', url, '--root', target.path, ...options],
  })
  const nobody = ['--pki', join(scope.directory, 'nobody'), '--allow-unsigned']
  const [unchecked, checked] = await compete(
    [contestant('unchecked', nobody), contestant('checked', pki)],
    rounds,
  )
  const cpuRatio = (checked?.cpuSeconds ?? NaN) / (unchecked?.cpuSeconds ?? NaN)
  const atMost = SIGNATURE_AT_MOST
  return [
    figure('si-deploy, signature not checked', { value: seconds(unchecked), unit: 's' }),
    figure('si-deploy, checked', { value: seconds(checked), unit: 's' }),
    figure('the second ÷ the first, time', { value: checked?.ratio ?? NaN, unit: '', atMost }),
    figure('the second ÷ the first, CPU time', { value: cpuRatio, unit: '', atMost }),
  ]
}

/** `image` is NAME/VERSION. */
async function getImage(root: string, { repository, pki }: Site, image: string): Promise<void> {
  const [name = '', version = ''] = image.split('/')
  await runQuietly([
    ...[SI, 'getimage', '--root', root, '--repository', repository],
    ...['--name', name, '--image-version', version, ...pki],
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
