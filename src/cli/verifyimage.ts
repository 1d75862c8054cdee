// si-verifyimage: is every byte of an image what it should be?
import { stat } from 'node:fs/promises'
import {
  formatBytesForPeople,
  formatDuration,
  formatRate,
  SiError,
  systemClock,
} from '../core/core.ts'
import type { VerifyReport } from '../image/image.ts'
import type { ImageReference } from '../repository/repository.ts'
import { jsonOption, repositoryOption, threadsOption } from './arguments.ts'
import { createCommandProgress } from './command-progress.ts'
import { createCommand, type Outcome } from './command.ts'
import { EXIT_INTEGRITY } from './exit-code.ts'
import { writeJson, type Io } from './io.ts'
import type { Command } from 'commander'

/** Beyond, the disk is slower than the threads. */
const MOST_THREADS = 8

/** A list that nobody reads to its end; --json has all. */
const SHOWN_FILES = 20

interface VerifyimageOptions {
  readonly repository: string
  readonly all?: true
  readonly threads: number
  readonly json?: true
}

export function createVerifyimageCommand(io: Io, outcome: Outcome): Command {
  return createCommand({
    name: 'verifyimage',
    summary: 'Check every byte of images against manifest and torrent',
    examples: [
      'si-verifyimage web              the latest version of web',
      'si-verifyimage web/3 shop/1     several',
      'si-verifyimage --all            everything in the repository',
    ],
    exitCodes: [0, 1, 2, 10, 12, 130],
  })
    .argument('[images...]', 'NAME or NAME/VERSION; without version the latest')
    .option('--all', 'every version of every image')
    .addOption(threadsOption(MOST_THREADS))
    .addOption(repositoryOption())
    .addOption(jsonOption())
    .action(async (images: readonly string[], options: VerifyimageOptions) => {
      const isGood = await runVerifyimage(images, options, io)
      if (!isGood) outcome.exitCode = EXIT_INTEGRITY
    })
}

/** False when any image is damaged. */
async function runVerifyimage(
  specs: readonly string[],
  options: VerifyimageOptions,
  io: Io,
): Promise<boolean> {
  const { verifyImage } = await import('../image/image.ts')
  const images = await chooseImages(specs, options)
  const json = options.json === true
  let isGood = true
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
      progress.end()
      const durationMs = systemClock.monotonicMs() - startedMs
      isGood &&= isSound(report)
      if (json) writeJson(io, toJson(image, report, durationMs))
      else io.stdout.write(formatReport(image, report, durationMs))
    } finally {
      progress.end()
    }
  }
  return isGood
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

function toJson(image: ImageReference, report: VerifyReport, durationMs: number) {
  const { faults, pieceFaults, checkedBytes } = report
  return {
    type: 'report',
    image: { name: image.name, version: image.version },
    isSound: isSound(report),
    ...{ checkedBytes, faults, pieceFaults },
    damagedFiles: report.damagedFiles.map((path) => `/${formatBytesForPeople(path)}`),
    durationMs: Math.round(durationMs),
  }
}

function formatReport(image: ImageReference, report: VerifyReport, durationMs: number): string {
  const name = `${image.name}/${image.version}`
  if (isSound(report)) {
    const rate = formatRate((report.checkedBytes * 1000) / Math.max(1, durationMs))
    return `${name}: sound (${formatDuration(durationMs)}, ${rate})\n`
  }
  const files = report.damagedFiles
  const unshown = files.length - SHOWN_FILES
  const lines = [
    `${name}: DAMAGED`,
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
