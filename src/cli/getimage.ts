// si-getimage: a golden client, or a local tree, becomes an image in the repository.
import type { CaptureReport } from '../capture/capture.ts'
import { formatDuration, formatRate, formatSize, SiError } from '../core/core.ts'
import { collect, collectUrl, parseInteger, repositoryOption } from './arguments.ts'
import { createCommandProgress } from './command-progress.ts'
import { createCommand, type Outcome } from './command.ts'
import { EXIT_PARTIAL } from './exit-code.ts'
import { printPreview } from './getimage-preview.ts'
import { collectRules, readRules, type RuleCollector } from './getimage-rules.ts'
import {
  imageVersionOption,
  levelOption,
  pieceLengthOption,
  runWriting,
  workOptions,
  type WritingFlags,
} from './image-writing.ts'
import { signerOptions, withOptions } from './trust-arguments.ts'
import { writeJson, type Io } from './io.ts'
import type { Command } from 'commander'

interface GetimageOptions extends WritingFlags {
  readonly root?: string
  readonly name?: string
  readonly repository: string
  readonly port?: number
  readonly identity?: string
  readonly sshOption: readonly string[]
  readonly tracker: readonly string[]
  readonly defaultExcludes: boolean
  readonly mount: readonly string[]
  readonly dryRun?: true
  /** False: --no-previous. */
  readonly previous?: string | false
}

export function createGetimageCommand(io: Io, outcome: Outcome): Command {
  const rules = collectRules()
  const command = createCommand({
    name: 'getimage',
    summary: 'Capture a golden client into the repository',
    examples: [
      'si-getimage golden01                      over ssh as root; the image is named golden01',
      'si-getimage root@10.0.0.7 --name web      another user or address, another name',
      'si-getimage --root /srv/tree --name web   a tree on this machine',
      "si-getimage golden01 -x '/srv/*' --dry-run   what would be captured, and what not",
    ],
    exitCodes: [0, 1, 2, 3, 11, 130],
  })
    .argument(
      '[host]',
      'golden client: [user@]host, as ssh takes it; it needs sshd, GNU tar and GNU find',
    )
    .option('--root <dir>', 'capture this local tree instead of a golden client')
    .option('-n, --name <image>', 'name of the image (default: the host, without domain)')
    .addOption(imageVersionOption())
    .addOption(repositoryOption())
    .option('-p, --port <port>', 'port of sshd', parseInteger(1, 65535))
    .option('-i, --identity <file>', 'private key for ssh')
    .option('-o, --ssh-option <key=value>', 'option for ssh, as its -o', collect, [])
    .option(
      '--tracker <url>',
      'tracker to name in the torrent (si-server adds its own)',
      collectUrl,
      [],
    )
    .option(
      '-x, --exclude <pattern>',
      "leave out what matches: rsync's patterns, such as /var/cache/* or *.iso; the first that matches decides",
      rules.exclude,
    )
    .option('--include <pattern>', 'keep what matches, whatever comes later says', rules.include)
    .option(
      '--exclude-from <file>',
      'read patterns from this file, one a line; + before one keeps, # begins a comment',
      rules.from,
    )
    .option('--no-default-excludes', 'keep what is left out by default (see README)')
    .option(
      '--mount <path>',
      'also capture what is mounted here, such as a network file system',
      collect,
      [],
    )
    .option('--dry-run', 'say what would be captured, and what leaves out what; write nothing')
    .addOption(pieceLengthOption())
    .addOption(levelOption())
    .option(
      '--previous <image>',
      'take files that have not changed since from NAME or NAME/VERSION (default: the latest version)',
    )
    .option('--no-previous', 'read every file again')
  return withOptions(command, [...workOptions(), ...signerOptions()]).action(
    async (host: string | undefined, options: GetimageOptions) => {
      if (options.dryRun) return runPreview(host, { options, rules }, io)
      const report = await runGetimage(host, { options, rules }, io)
      if (report.exitedPartial) outcome.exitCode = EXIT_PARTIAL
    },
  )
}

interface Wish {
  readonly options: GetimageOptions
  readonly rules: RuleCollector
}

async function runGetimage(
  host: string | undefined,
  { options, rules }: Wish,
  io: Io,
): Promise<CaptureReport> {
  const { capture } = await import('../capture/capture.ts')
  const run = { command: 'si-getimage', flags: options, io }
  const report = await runWriting(run, async (writing, progress) =>
    capture(
      {
        ...(await toSelection(host, { options, rules })),
        ...(await toPrevious(options)),
        ...writing,
        trackers: options.tracker,
      },
      progress,
      io.signal,
    ),
  )
  printReport(report, options, io)
  return report
}

async function runPreview(host: string | undefined, wish: Wish, io: Io): Promise<void> {
  const { previewCapture } = await import('../capture/capture.ts')
  const isJson = wish.options.json === true
  const progress = createCommandProgress(io, { command: 'si-getimage', json: isJson })
  try {
    const preview = await previewCapture(await toSelection(host, wish), progress, io.signal)
    progress.end()
    printPreview(preview, isJson, io)
  } finally {
    progress.end()
  }
}

async function toSelection(host: string | undefined, { options, rules }: Wish) {
  const { openRepository, parseImageName } = await import('../repository/repository.ts')
  return {
    source: toSource(host, options),
    repository: await openRepository(options.repository),
    name: parseImageName(options.name ?? defaultName(host)),
    excludes: await readRules(rules.list),
    useDefaultExcludes: options.defaultExcludes,
    mountPoints: options.mount,
  }
}

async function toPrevious({ previous, repository }: GetimageOptions) {
  if (previous === undefined) return {}
  if (previous === false) return { previous: null }
  const { openRepository, parseImageSpec } = await import('../repository/repository.ts')
  const { name, version } = parseImageSpec(previous)
  return { previous: await (await openRepository(repository)).open(name, version) }
}

function toSource(host: string | undefined, options: GetimageOptions) {
  if ((host === undefined) === (options.root === undefined)) {
    throw new SiError('ERR_SI_USAGE', 'Name either a golden client or --root DIR', {
      hint: 'Run si-getimage golden01, or si-getimage --root DIR --name IMAGE',
    })
  }
  if (host === undefined) return { type: 'root', directory: options.root ?? '' } as const
  return {
    type: 'ssh',
    host,
    sshOptions: options.sshOption,
    ...(options.port === undefined ? {} : { port: options.port }),
    ...(options.identity === undefined ? {} : { identityFile: options.identity }),
  } as const
}

function defaultName(host: string | undefined): string {
  if (host === undefined) {
    throw new SiError('ERR_SI_USAGE', 'A tree captured with --root needs a name', {
      hint: 'Add --name IMAGE',
    })
  }
  const address = host.slice(host.lastIndexOf('@') + 1)
  // An IP address stays whole; of a host name only the first label names the image.
  return /^[\d.]+$|:/.test(address) ? address.replaceAll(':', '-') : (address.split('.')[0] ?? '')
}

function printReport(report: CaptureReport, options: GetimageOptions, io: Io): void {
  const { header, image, durationMs } = report
  if (options.json) {
    const { packBytes, tarBytes, contentBytes, entryCount, pieceCount } = header
    writeJson(io, {
      type: 'report',
      image: { name: image.name, version: image.version },
      directory: image.directory,
      durationMs: Math.round(durationMs),
      ...{ contentBytes, tarBytes, packBytes, entryCount, pieceCount },
      changedFiles: report.changedFiles,
      takenOver: report.takenOver,
      notes: report.notes,
    })
    return
  }
  for (const note of report.notes) io.stderr.write(`si-getimage: ${note}\n`)
  for (const path of report.changedFiles) {
    io.stderr.write(`si-getimage: changed while it was read: ${path}\n`)
  }
  const { takenOver } = report
  if (takenOver !== null) {
    const { name, version } = takenOver.image
    io.stderr.write(
      `si-getimage: ${takenOver.files} unchanged files (${formatSize(takenOver.bytes)}) ` +
        `taken from ${name}/${version}\n`,
    )
  }
  io.stderr.write(
    `si-getimage: ${header.entryCount} files, ${formatSize(header.contentBytes)} → ` +
      `${formatSize(header.packBytes)} in ${formatDuration(durationMs)} ` +
      `(${formatRate((header.tarBytes * 1000) / durationMs)})\n`,
  )
  io.stdout.write(`${image.name} ${image.version} ${image.directory}\n`)
}
