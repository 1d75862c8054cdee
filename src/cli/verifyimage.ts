// si-verifyimage: is every byte of an image what it should be, and was it signed by somebody who is believed?
import { stat } from 'node:fs/promises'
import {
  formatBytesForPeople,
  formatDuration,
  formatRate,
  isSiError,
  SiError,
  systemClock,
} from '../core/core.ts'
import type { VerifyReport } from '../image/image.ts'
import type { Trust, Verdict } from '../pki/pki.ts'
import type { ImageReference } from '../repository/repository.ts'
import { jsonOption, repositoryOption, threadsOption } from './arguments.ts'
import { createCommandProgress } from './command-progress.ts'
import { createCommand, type Outcome } from './command.ts'
import { EXIT_INTEGRITY, EXIT_UNTRUSTED } from './exit-code.ts'
import { writeJson, type Io } from './io.ts'
import { trustFrom, trustOptions, withOptions, type TrustFlags } from './trust-arguments.ts'
import type { Command } from 'commander'

/** Beyond, the disk is slower than the threads. */
const MOST_THREADS = 8

/** A list that nobody reads to its end; --json has all. */
const SHOWN_FILES = 20

interface VerifyimageOptions extends TrustFlags {
  readonly repository: string
  readonly all?: true
  readonly threads: number
  readonly json?: true
}

export function createVerifyimageCommand(io: Io, outcome: Outcome): Command {
  const command = createCommand({
    name: 'verifyimage',
    summary: 'Check signature and every byte of images',
    examples: [
      'si-verifyimage web              the latest version of web',
      'si-verifyimage web/3 shop/1     several',
      'si-verifyimage --all            everything in the repository',
      'si-verifyimage web --allow-unsigned   the bytes alone, where nobody signed',
    ],
    exitCodes: [0, 1, 2, 10, 12, 13, 130],
  })
    .argument('[images...]', 'NAME or NAME/VERSION; without version the latest')
    .option('--all', 'every version of every image')
    .addOption(threadsOption(MOST_THREADS))
    .addOption(repositoryOption())
    .addOption(jsonOption())
    .addHelpText('after', '\nAn image that is damaged and not trusted counts as damaged (12).')
  return withOptions(command, trustOptions()).action(
    async (images: readonly string[], options: VerifyimageOptions) => {
      const { isDamaged, isUntrusted } = await runVerifyimage(images, options, io)
      if (isUntrusted) outcome.exitCode = EXIT_UNTRUSTED
      if (isDamaged) outcome.exitCode = EXIT_INTEGRITY
    },
  )
}

/** The verdict on the signature, or why it is not trusted. */
type Judgement = Verdict | SiError

interface Checked {
  readonly image: ImageReference
  readonly report: VerifyReport
  readonly judgement: Judgement
  readonly durationMs: number
}

/** What is true of any of the images. */
async function runVerifyimage(
  specs: readonly string[],
  options: VerifyimageOptions,
  io: Io,
): Promise<{ readonly isDamaged: boolean; readonly isUntrusted: boolean }> {
  const { verifyImage } = await import('../image/image.ts')
  const trust = await trustFrom(options)
  const images = await chooseImages(specs, options)
  const json = options.json === true
  let [isDamaged, isUntrusted] = [false, false]
  const hints = new Set<string>()
  for (const image of images) {
    const progress = createCommandProgress(io, { command: 'si-verifyimage', json })
    const phase = `verifying ${image.name}/${image.version}`
    const { size: totalBytes } = await stat(image.packPath)
    const startedMs = systemClock.monotonicMs()
    try {
      const report = await verifyImage(image.directory, {
        threads: options.threads,
        onProgress: (doneBytes) => progress.update({ phase, doneBytes, totalBytes }),
        signal: io.signal,
      })
      const judgement = await judge(image, report, trust)
      progress.end()
      isDamaged ||= !isSound(report)
      if (judgement instanceof SiError) {
        isUntrusted = true
        if (judgement.hint !== undefined) hints.add(judgement.hint)
      }
      const durationMs = systemClock.monotonicMs() - startedMs
      const checked = { image, report, judgement, durationMs }
      if (json) writeJson(io, toJson(checked))
      else printReport(checked, io)
    } finally {
      progress.end()
    }
  }
  for (const hint of hints) io.stderr.write(`hint: ${hint}\n`)
  return { isDamaged, isUntrusted }
}

async function judge(
  image: ImageReference,
  report: VerifyReport,
  trust: Trust,
): Promise<Judgement> {
  const { checkImageSignature } = await import('../repository/repository.ts')
  try {
    return await checkImageSignature(image, trust)
  } catch (error) {
    const isTold = isSiError(error, 'ERR_SI_MANIFEST_FORMAT') && !isSound(report)
    if (isTold || isSiError(error, 'ERR_SI_UNTRUSTED')) return error
    throw error
  }
}

async function chooseImages(
  specs: readonly string[],
  options: VerifyimageOptions,
): Promise<readonly ImageReference[]> {
  const { openRepository, parseImageSpec } = await import('../repository/repository.ts')
  const repository = await openRepository(options.repository)
  if ((options.all === true) === specs.length > 0) {
    throw new SiError('ERR_SI_USAGE', 'Name either images or --all', {
      hint: 'Run si-verifyimage web, or si-verifyimage --all',
    })
  }
  if (options.all) return repository.list()
  return Promise.all(
    specs.map((text) => {
      const { name, version } = parseImageSpec(text)
      return repository.open(name, version)
    }),
  )
}

function isSound({ faults, pieceFaults }: VerifyReport): boolean {
  return faults.length === 0 && pieceFaults.length === 0
}

function toJson({ image, report, judgement, durationMs }: Checked) {
  const { faults, pieceFaults, checkedBytes } = report
  const isTrusted = !(judgement instanceof SiError)
  return {
    type: 'report',
    image: { name: image.name, version: image.version },
    isSound: isSound(report),
    isTrusted,
    signedBy: isTrusted ? judgement.signer : null,
    signatureFault: isTrusted ? null : judgement.message,
    notes: isTrusted ? judgement.notes : [],
    ...{ checkedBytes, faults, pieceFaults },
    damagedFiles: report.damagedFiles.map((path) => `/${formatBytesForPeople(path)}`),
    durationMs: Math.round(durationMs),
  }
}

function printReport({ image, report, judgement, durationMs }: Checked, io: Io): void {
  const name = `${image.name}/${image.version}`
  const rate = formatRate((report.checkedBytes * 1000) / Math.max(1, durationMs))
  const isTrusted = !(judgement instanceof SiError)
  const signature = !isTrusted
    ? 'NOT TRUSTED'
    : judgement.signer === null
      ? 'nobody vouches for it'
      : `signed by ${judgement.signer}`
  const state = isSound(report) ? 'sound' : 'DAMAGED'
  io.stdout.write(`${name}: ${state}, ${signature} (${formatDuration(durationMs)}, ${rate})\n`)
  if (!isSound(report)) io.stdout.write(formatFaults(report))
  const notes = isTrusted ? judgement.notes : [judgement.message]
  for (const note of notes) io.stderr.write(`si-verifyimage: ${note}\n`)
}

function formatFaults(report: VerifyReport): string {
  const files = report.damagedFiles
  const unshown = files.length - SHOWN_FILES
  const lines = [
    ...report.faults.map((fault) => `  ${fault}`),
    ...report.pieceFaults.map(
      ({ piece, reasons, chunks }) =>
        `  piece ${piece}: ${reasons.join('; ') || 'the manifest contradicts itself'}` +
        (chunks.length > 0
          ? `; damaged chunks: ${chunks.join(', ')}`
          : '; only padding is damaged'),
    ),
    ...files.slice(0, SHOWN_FILES).map((path) => `  damaged file: /${formatBytesForPeople(path)}`),
    ...(unshown > 0 ? [`  … and ${unshown} more damaged files (--json names all)`] : []),
    ...(files.length === 0 && report.pieceFaults.some(({ chunks }) => chunks.length > 0)
      ? ["  no file's content is affected: the damage is in names and metadata"]
      : []),
  ]
  return `${lines.join('\n')}\n`
}
