// si-lsimage: what is in the repository.
import { createReadStream } from 'node:fs'
import { formatSize, messageOf, SiError } from '../core/core.ts'
import type { SignatureFacts } from '../pki/pki.ts'
import type { ImageFacts } from '../repository/repository.ts'
import { jsonOption, repositoryOption } from './arguments.ts'
import { createCommand, type Outcome } from './command.ts'
import { EXIT_PARTIAL } from './exit-code.ts'
import { writeJson, type Io } from './io.ts'
import { formatTable } from './table.ts'
import {
  authorityOptions,
  pkiOption,
  trustFrom,
  withOptions,
  type TrustFlags,
} from './trust-arguments.ts'
import type { Command } from 'commander'

interface LsimageOptions extends TrustFlags {
  readonly repository: string
  readonly layout?: true
  readonly json?: true
}

export function createLsimageCommand(io: Io, outcome: Outcome): Command {
  const command = createCommand({
    name: 'lsimage',
    summary: 'List the images of the repository',
    examples: [
      'si-lsimage                     every image, every version',
      'si-lsimage golden01            the versions of one image',
      'si-lsimage golden01/3 --json   all that is known of one version',
      'si-lsimage golden01 --layout   its disks as a layout file, to edit for si-deploy --layout',
    ],
    exitCodes: [0, 1, 2, 3, 10],
  })
    .argument('[image]', 'only this image: NAME or NAME/VERSION')
    .addOption(repositoryOption())
    .option('--layout', 'print the disk layout of this image (YAML)')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      '\nSHARED is the part of the pack whose chunks the version captured before has as well; * marks latest.\nSIGNED BY is the name in the signature: (unverified) without --trust, (INVALID) where it does not hold.',
    )
  return withOptions(command, [pkiOption(), ...authorityOptions()]).action(
    async (image: string | undefined, options: LsimageOptions) => {
      if (options.layout) return await printLayout(image, options, io)
      const isWhole = await runLsimage(image, options, io)
      if (!isWhole) outcome.exitCode = EXIT_PARTIAL
    },
  )
}

async function printLayout(
  image: string | undefined,
  options: LsimageOptions,
  io: Io,
): Promise<void> {
  const { openRepository, parseImageSpec } = await import('../repository/repository.ts')
  const { formatGoldenLayout } = await import('../deploy/deploy.ts')
  const { readManifestHeader } = await import('../image/image.ts')
  if (image === undefined) {
    throw new SiError('ERR_SI_USAGE', 'Cannot print a layout without an image', {
      hint: 'Name it: si-lsimage NAME --layout',
    })
  }
  const { name, version } = parseImageSpec(image)
  const repository = await openRepository(options.repository)
  const { manifestPath } = await repository.open(name, version)
  const header = await readManifestHeader(createReadStream(manifestPath))
  if (options.json) writeJson(io, { layout: header.layout })
  else io.stdout.write(formatGoldenLayout(header))
}

/** False when an image is damaged and so not in the list. */
async function runLsimage(
  image: string | undefined,
  options: LsimageOptions,
  io: Io,
): Promise<boolean> {
  const { describeImages, describeImageSignature, openRepository, parseImageSpec } =
    await import('../repository/repository.ts')
  const trust = await trustFrom(options)
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
      io.stderr.write(
        `si-lsimage: Cannot list ${facts.image.directory}: ${messageOf(facts.error)}\n`,
      )
      continue
    }
    const { name, version, directory } = facts.image
    const signature = await describeImageSignature(facts.image, trust)
    if (signature.fault !== null) {
      io.stderr.write(`si-lsimage: ${name}/${version} is not trusted: ${signature.fault}\n`)
    }
    rows.push(toRow(facts, { signature, isLatest: latest.has(directory) }))
  }
  if (options.json) for (const row of rows) writeJson(io, row)
  else printTable(rows, options, io)
  return rows.length === described.length
}

type Row = ReturnType<typeof toRow>

function toRow(
  { image, header, infoHash, sharedBytes }: ImageFacts,
  { signature, isLatest }: { readonly signature: SignatureFacts; readonly isLatest: boolean },
) {
  const { createdAt, source, contentBytes, packBytes, entryCount, pieceLengthBytes } = header
  return {
    name: image.name,
    version: image.version,
    isLatest,
    createdAt,
    host: source.host,
    operatingSystem: source.operatingSystem,
    ...{ contentBytes, packBytes, sharedBytes, entryCount, pieceLengthBytes },
    signedBy: signature.signer,
    signature: signature.state,
    signatureFault: signature.fault,
    infoHash,
    directory: image.directory,
  }
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
    formatSigner(row),
    row.infoHash,
  ])
  io.stdout.write(formatTable([HEADINGS, ...table], ['left', 'left', 'right', 'right', 'right']))
}

function formatSigner({ signature, signedBy }: Row): string {
  const name = signedBy ?? '?'
  switch (signature) {
    case 'none':
      return 'unsigned'
    case 'valid':
      return name
    case 'unverified':
      return `${name} (unverified)`
    case 'invalid':
      return `${name} (INVALID)`
    default:
      return signature satisfies never
  }
}

/** `120.0 MiB 97 %` */
function formatShare({ sharedBytes, packBytes }: Row): string {
  if (sharedBytes === null) return '-'
  const percent = Math.floor((100 * sharedBytes) / Math.max(1, packBytes))
  return `${formatSize(sharedBytes)} ${`${percent} %`.padStart(5)}`
}
