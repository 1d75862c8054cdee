// si-lsimage: what is in the repository.
import { formatSize, messageOf } from '../core/core.ts'
import type { ImageFacts } from '../repository/repository.ts'
import { jsonOption, repositoryOption } from './arguments.ts'
import { createCommand, type Outcome } from './command.ts'
import { EXIT_PARTIAL } from './exit-code.ts'
import { writeJson, type Io } from './io.ts'
import { formatTable } from './table.ts'
import type { Command } from 'commander'

interface LsimageOptions {
  readonly repository: string
  readonly json?: true
}

export function createLsimageCommand(io: Io, outcome: Outcome): Command {
  return createCommand({
    name: 'lsimage',
    summary: 'List the images of the repository',
    examples: [
      'si-lsimage                     every image, every version',
      'si-lsimage golden01            the versions of one image',
      'si-lsimage golden01/3 --json   all that is known of one version',
    ],
    exitCodes: [0, 1, 2, 3, 10],
  })
    .argument('[image]', 'only this image: NAME or NAME/VERSION')
    .addOption(repositoryOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      '\nSHARED is the part of the pack whose chunks the version captured before has as well; * marks latest.',
    )
    .action(async (image: string | undefined, options: LsimageOptions) => {
      const isWhole = await runLsimage(image, options, io)
      if (!isWhole) outcome.exitCode = EXIT_PARTIAL
    })
}

/** False when an image is damaged and so not in the list. */
async function runLsimage(
  image: string | undefined,
  options: LsimageOptions,
  io: Io,
): Promise<boolean> {
  const { describeImages, openRepository, parseImageSpec } =
    await import('../repository/repository.ts')
  const repository = await openRepository(options.repository)
  const spec = image === undefined ? undefined : parseImageSpec(image)
  const wanted = spec === undefined ? undefined : await repository.open(spec.name, spec.version)
  const isOneVersion = image?.includes('/') === true
  const isWanted = ({ directory }: { readonly directory: string }) =>
    !isOneVersion || directory === wanted?.directory
  const images = wanted ? await repository.versions(wanted.name) : await repository.list()
  const latest = new Set<string | undefined>()
  for (const name of new Set(images.map((found) => found.name))) {
    latest.add((await repository.latest(name))?.directory)
  }
  const described = (await describeImages(images)).filter((facts) => isWanted(facts.image))
  const rows: Row[] = []
  for (const facts of described) {
    if ('error' in facts) {
      const { directory } = facts.image
      io.stderr.write(`si-lsimage: Cannot list ${directory}: ${messageOf(facts.error)}\n`)
    } else {
      rows.push(toRow(facts, latest.has(facts.image.directory)))
    }
  }
  if (options.json) for (const row of rows) writeJson(io, row)
  else printTable(rows, options, io)
  return rows.length === described.length
}

type Row = ReturnType<typeof toRow>

function toRow({ image, header, infoHash, sharedBytes, isSigned }: ImageFacts, isLatest: boolean) {
  const { createdAt, source, contentBytes, packBytes, entryCount, pieceLengthBytes } = header
  return {
    name: image.name,
    version: image.version,
    isLatest,
    createdAt,
    host: source.host,
    operatingSystem: source.operatingSystem,
    ...{ contentBytes, packBytes, sharedBytes, entryCount, pieceLengthBytes },
    signedBy: signerOf(isSigned),
    infoHash,
    directory: image.directory,
  }
}

/** The one place that says who signed an image: null when nobody did. */
function signerOf(isSigned: boolean): string | null {
  return isSigned ? 'signed' : null
}

const HEADINGS = [
  ...['IMAGE', 'VERSION', 'CONTENT', 'PACK', 'SHARED'],
  ...['CREATED (UTC)', 'HOST', 'SIGNED BY', 'INFO HASH'],
]

function printTable(rows: readonly Row[], options: LsimageOptions, io: Io): void {
  if (rows.length === 0) {
    io.stderr.write(`si-lsimage: no image in ${options.repository}; si-getimage makes one\n`)
    return
  }
  const table = rows.map((row) => [
    row.name,
    row.isLatest ? `${row.version} *` : row.version,
    formatSize(row.contentBytes),
    formatSize(row.packBytes),
    formatShare(row),
    row.createdAt.slice(0, 16).replace('T', ' '),
    row.host || '-',
    row.signedBy ?? 'unsigned',
    row.infoHash,
  ])
  io.stdout.write(formatTable([HEADINGS, ...table], ['left', 'left', 'right', 'right', 'right']))
}

/** `120.0 MiB 97 %` */
function formatShare({ sharedBytes, packBytes }: Row): string {
  if (sharedBytes === null) return '-'
  const percent = Math.floor((100 * sharedBytes) / Math.max(1, packBytes))
  return `${formatSize(sharedBytes)} ${`${percent} %`.padStart(5)}`
}
