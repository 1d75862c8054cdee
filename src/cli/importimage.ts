// si-importimage: a tar or a container image becomes an image of the repository.
import { formatDuration, formatSize, SiError } from '../core/core.ts'
import type { CaptureReport } from '../capture/capture.ts'
import { collect, repositoryOption } from './arguments.ts'
import { createCommand, type Outcome } from './command.ts'
import { EXIT_PARTIAL } from './exit-code.ts'
import {
  imageVersionOption,
  levelOption,
  pieceLengthOption,
  runWriting,
  workOptions,
  type WritingFlags,
} from './image-writing.ts'
import { writeJson, type Io } from './io.ts'
import { signerOptions, withOptions } from './trust-arguments.ts'
import type { Command } from 'commander'

interface ImportimageOptions extends WritingFlags {
  readonly name: string
  readonly platform?: string
  readonly exclude: readonly string[]
  readonly repository: string
}

export function createImportimageCommand(io: Io, outcome: Outcome): Command {
  const command = createCommand({
    name: 'importimage',
    summary: 'Make an image of a tar or an OCI image layout',
    examples: [
      'si-importimage web.tar.gz --name web            plain, gzip, zstd, xz or bzip2',
      'ssh host tar -C / -c . | si-importimage - -n web from standard input',
      'si-importimage ./layout --name app --platform linux/arm64',
    ],
    exitCodes: [0, 1, 2, 3, 11, 12, 130],
  })
    .argument('<source>', 'a tar, - for standard input, or the directory of an OCI image layout')
    .requiredOption('-n, --name <image>', 'name of the image')
    .addOption(imageVersionOption())
    .option('--platform <os/arch>', 'which image of a layout (default: the one for this machine)')
    .option('-x, --exclude <rule>', 'leave out what matches, as si-getimage does', collect, [])
    .addOption(pieceLengthOption())
    .addOption(levelOption())
    .addOption(repositoryOption())
    .addHelpText(
      'after',
      '\nThe archive is unpacked on the file system of the repository first: that much room is needed there,\nuncompressed, until the image is written. Nothing is left out unless --exclude says so.',
    )
  return withOptions(command, [...workOptions(), ...signerOptions()]).action(
    async (source: string, options: ImportimageOptions) => {
      const report = await runImportimage(source, options, io)
      if (report.exitedPartial) outcome.exitCode = EXIT_PARTIAL
    },
  )
}

async function runImportimage(
  source: string,
  options: ImportimageOptions,
  io: Io,
): Promise<CaptureReport> {
  const { importImage } = await import('../capture/capture.ts')
  const { openRepository, parseImageName } = await import('../repository/repository.ts')
  const input = source === '-' ? io.stdin : source
  if (input === undefined) {
    throw new SiError('ERR_SI_USAGE', 'Nothing is piped into standard input', {
      hint: 'Name a file, or pipe a tar into the command',
    })
  }
  const run = { command: 'si-importimage', flags: options, io }
  const report = await runWriting(run, async (writing, progress) =>
    importImage(
      {
        source: input,
        platform: options.platform,
        repository: await openRepository(options.repository),
        name: parseImageName(options.name),
        excludes: options.exclude,
        useDefaultExcludes: false,
        ...writing,
      },
      progress,
      io.signal,
    ),
  )
  printReport(report, options, io)
  return report
}

function printReport(report: CaptureReport, options: ImportimageOptions, io: Io): void {
  const { header, image, durationMs, notes } = report
  const { name, version, directory } = image
  if (options.json) {
    const { packBytes, contentBytes, entryCount } = header
    const sizes = { contentBytes, packBytes, entryCount }
    const duration = { durationMs: Math.round(durationMs) }
    writeJson(io, {
      type: 'report',
      image: { name, version },
      directory,
      ...sizes,
      ...duration,
      notes,
    })
    return
  }
  for (const note of notes) io.stderr.write(`si-importimage: ${note}\n`)
  io.stderr.write(
    `si-importimage: ${header.entryCount} files, ${formatSize(header.contentBytes)} → ` +
      `${formatSize(header.packBytes)} in ${formatDuration(durationMs)}\n`,
  )
  io.stdout.write(`${name} ${version} ${directory}\n`)
}
