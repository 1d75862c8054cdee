// si-deploy: this machine gets the image, and gives its pieces on to its neighbours.
import { readFile } from 'node:fs/promises'
import { formatDuration, formatRate, formatSize, messageOf, SiError } from '../core/core.ts'
import type {
  DeployOptions,
  DeployPlan,
  DeployReport,
  ExpectedImage,
  OverrideOptions,
} from '../deploy/deploy.ts'
import {
  collect,
  collectUrl,
  downloadLimitOption,
  durationOption,
  jsonOption,
  lanesOption,
  localDiscoveryOption,
  portOption,
  rackOption,
  sizeOption,
  threadsOption,
  uploadLimitOption,
} from './arguments.ts'
import { createCommandProgress } from './command-progress.ts'
import { createCommand, type Outcome } from './command.ts'
import { EXIT_PARTIAL } from './exit-code.ts'
import { finishFrom, finishOptions, type FinishFlags } from './finish-arguments.ts'
import {
  parseExpectation,
  trustFrom,
  trustOptions,
  withOptions,
  type TrustFlags,
} from './trust-arguments.ts'
import { scriptOptions, scriptsFrom, terminalShell, type ScriptFlags } from './script-arguments.ts'
import { securityFrom, tlsOptions, type TlsFlags } from './tls-arguments.ts'
import { writeJson, type Io } from './io.ts'
import type { Command } from 'commander'

/** Each decodes and writes more than half a gigabyte per second: more than a disk or a network gives. */
const MOST_THREADS = 4

/** Four carry 40 Gbit/s: more than the workers above can take in. */
const MOST_LANES = 4

interface DeployFlags extends TrustFlags, TlsFlags, FinishFlags, ScriptFlags {
  readonly expect?: ExpectedImage
  readonly expectOverride: readonly ExpectedImage[]
  readonly torrent: string
  readonly override: readonly string[]
  readonly root?: string
  readonly disk: readonly string[]
  readonly layout?: string
  readonly confirm: readonly string[]
  readonly devices: boolean
  readonly dryRun?: true
  readonly seedFor: number
  readonly tracker: readonly string[]
  readonly peer: readonly string[]
  readonly webSeed: readonly string[]
  readonly host?: string
  readonly port: number
  readonly rack?: string
  readonly localDiscovery: boolean
  readonly pieceCache?: number
  readonly uploadLimit?: number
  readonly downloadLimit?: number
  readonly threads: number
  readonly lanes: number
  readonly json?: true
}

export function createDeployCommand(io: Io, outcome: Outcome): Command {
  const command = createCommand({
    name: 'deploy',
    summary: 'Put an image on this machine through the swarm',
    examples: [
      'si-deploy --torrent http://server:8080/images/golden01/img.torrent --disk /dev/sda --dry-run',
      'si-deploy --torrent img.torrent --disk /dev/sda --confirm /dev/sda --seed-for 10m',
      'si-deploy --torrent img.torrent --layout raid.yaml --confirm /dev/sda --confirm /dev/sdb',
      'si-deploy --torrent img.torrent --disk /dev/sda --confirm /dev/sda --host-name node01 --network dhcp',
      'si-deploy --torrent img.torrent --disk /dev/sda --confirm /dev/sda --post-install set-rack.sh --parameter rack=r07',
      'si-deploy --torrent img.torrent --root /mnt/target --trust ca.pem --expect golden01/20261122-160000',
      'si-deploy --torrent img.torrent --root /mnt/target --web-seed http://mirror/images/golden01/latest',
      'si-deploy --torrent https://server:8080/images/golden01/img.torrent --root /mnt/target --tls',
    ],
    exitCodes: [0, 1, 2, 3, 12, 13, 14, 130],
  })
    .requiredOption('-t, --torrent <file>', 'the torrent of the image: a path or an http URL')
    .option(
      '--disk <device>',
      'erase this disk, partition it as the golden client, and fill it; again for each further disk; auto: the first',
      collect,
      [],
    )
    .option(
      '--layout <file>',
      'what the disks are to hold, and which they are: si-lsimage --layout',
    )
    .option(
      '--confirm <device>',
      'the same device again, for each disk: yes, erase it',
      collect,
      [],
    )
    .option('--root <dir>', 'fill this empty directory instead of a disk')
    .option(
      '--override <torrent>',
      'lay this image over the first one; may be given several times, the later one wins',
      collect,
      [],
    )
    .option('--no-devices', 'leave out device nodes, such as for a container; setuid stays')
    .option(
      '--expect <image>',
      'refuse any other than NAME or NAME/VERSION, however well signed',
      parseExpectation,
    )
    .option(
      '--expect-override <image>',
      'the same for --override: the first one for the first, and so on',
      (text, before: readonly ExpectedImage[]) => [...before, parseExpectation(text)],
      [],
    )
    .option('--dry-run', 'print what would be destroyed and created, and stop')
    .addOption(
      durationOption(
        '--seed-for <time>',
        'seed on for this long, such as 10m',
        'SI_SEED_FOR',
      ).default(0, 'do not'),
    )
    .option('--tracker <url>', "tracker besides the torrent's own", collectUrl, [])
    .option('--peer <host:port>', 'peer to connect to at once', collect, [])
    .option(
      '--web-seed <url>',
      "web server that has the image's files below this URL, or, when it ends in /, below a folder of the torrent's name",
      collectUrl,
      [],
    )
    .option('--host <address>', 'address to listen on (default: all)')
    .addOption(portOption('--port', 'port for peers, 0 for any', 'SI_PEER_PORT', 0))
    .addOption(rackOption())
    .addOption(localDiscoveryOption())
    .addOption(
      sizeOption(
        '--piece-cache <size>',
        'memory for compressed pieces; more goes to a hidden file on the target (default: half of the free memory)',
        'SI_PIECE_CACHE',
      ),
    )
    .addOption(uploadLimitOption())
    .addOption(downloadLimitOption())
    .addOption(threadsOption(MOST_THREADS))
    .addOption(lanesOption(MOST_LANES))
    .addOption(jsonOption())
  const options = [...finishOptions(), ...scriptOptions(), ...trustOptions(), ...tlsOptions('node')]
  return withOptions(command, options).action(async (flags: DeployFlags) => {
    const isWhole = await runDeploy(flags, io)
    if (!isWhole) outcome.exitCode = EXIT_PARTIAL
  })
}

/** Whether nothing was left out. */
async function runDeploy(flags: DeployFlags, io: Io): Promise<boolean> {
  const { deploy, formatPlan } = await import('../deploy/deploy.ts')
  const progress = createCommandProgress(io, { command: 'si-deploy', json: flags.json === true })
  const onNote = (text: string) => progress.note(text)
  const security = await securityFrom(flags, { holder: 'node', onNote })
  const options: DeployOptions = {
    torrent: flags.torrent,
    overrides: overridesFrom(flags),
    scripts: await scriptsFrom(flags, flags.torrent),
    trust: await trustFrom(flags),
    security,
    expect: flags.expect,
    finish: await finishFrom(flags),
    target: await toTarget(flags),
    trackers: flags.tracker,
    peers: flags.peer,
    webSeeds: flags.webSeed,
    ...(flags.host === undefined ? {} : { listenHost: flags.host }),
    listenPort: flags.port,
    rack: flags.rack,
    localDiscovery: flags.localDiscovery,
    seedForMs: flags.seedFor,
    withoutDevices: !flags.devices,
    dryRun: flags.dryRun === true,
    threads: flags.threads,
    lanes: flags.lanes,
    pieceCacheBytes: flags.pieceCache,
    uploadBytesPerSecond: flags.uploadLimit,
    downloadBytesPerSecond: flags.downloadLimit,
  }
  try {
    const { leftOut } = await deploy(
      options,
      {
        progress,
        shell: terminalShell(io, () => progress.end()),
        confirm: async (plan) => {
          progress.end()
          if (flags.dryRun) printPlan(plan, formatPlan(plan), flags, io)
          else await confirmPlan(plan, formatPlan(plan), flags, io)
        },
        onComplete: (report) => {
          progress.end()
          printReport(report, flags, io)
        },
      },
      io.signal,
    )
    return leftOut.length === 0
  } finally {
    security?.close()
    progress.end()
  }
}

/** Throws ERR_SI_USAGE. */
function overridesFrom({ override, expectOverride }: DeployFlags): readonly OverrideOptions[] {
  if (expectOverride.length > 0 && expectOverride.length !== override.length) {
    const message = `--override is given ${override.length} times, --expect-override ${expectOverride.length} times`
    throw new SiError('ERR_SI_USAGE', message, {
      hint: 'Say for each override, in their order, which image it has to be',
    })
  }
  return override.map((torrent, index) => ({ torrent, expect: expectOverride[index] }))
}

async function toTarget(flags: DeployFlags): Promise<DeployOptions['target']> {
  const isDisk = flags.disk.length > 0 || flags.layout !== undefined
  if (isDisk === (flags.root !== undefined)) {
    throw new SiError('ERR_SI_USAGE', 'Name either --disk DEVICE, --layout FILE, or --root DIR', {
      hint: 'Run si-deploy --help for examples',
    })
  }
  if (flags.root !== undefined) return { type: 'root', directory: flags.root }
  const devices = flags.disk.filter((device) => device !== 'auto')
  const other = flags.confirm.find((device) => devices.length > 0 && !devices.includes(device))
  if (other !== undefined) {
    throw new SiError(
      'ERR_SI_NOT_CONFIRMED',
      `--confirm names ${other}, but --disk names ${devices.join(', ')}`,
      { hint: 'Give --confirm the very same devices' },
    )
  }
  if (flags.layout === undefined) return { type: 'disk', devices }
  return { type: 'disk', devices, layout: await readLayoutFile(flags.layout) }
}

/** Before anything else is done: a wrong path should not wait for the image's manifest. */
async function readLayoutFile(file: string): Promise<{ file: string; text: string }> {
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new SiError('ERR_SI_CONFIGURATION', `Cannot read ${file}: ${messageOf(cause)}`, {
      hint: 'Check the path of the layout file',
      cause,
    })
  })
  return { file, text }
}

function printPlan(plan: DeployPlan, text: string, flags: DeployFlags, io: Io): void {
  if (flags.json) writeJson(io, { type: 'plan', plan })
  else io.stdout.write(`${text}\n`)
}

/** What erases disks wants their names: from --confirm, or typed by the person who sees the plan. */
async function confirmPlan(
  plan: DeployPlan,
  text: string,
  flags: DeployFlags,
  io: Io,
): Promise<void> {
  if (plan.kind === 'root') return
  const given = flags.disk.filter((device) => device !== 'auto')
  // As they were given (/dev/disk/by-id/…), or as they are called.
  const names = plan.disks.map(({ device }, index) => given[index] ?? device)
  const missing = names.filter(
    (name, index) =>
      !flags.confirm.includes(name) && !flags.confirm.includes(plan.disks[index]?.device ?? ''),
  )
  const other = flags.confirm.find(
    (name) => !names.includes(name) && !plan.disks.some(({ device }) => device === name),
  )
  if (missing.length === 0 && other === undefined) return
  const all = names.join(' ')
  const hint = `Add ${names.map((name) => `--confirm ${name}`).join(' ')} to erase ${names.length === 1 ? 'it' : 'them'}`
  if (other !== undefined) {
    const message = `--confirm names ${other}, but the plan is for ${names.join(', ')}`
    throw new SiError('ERR_SI_NOT_CONFIRMED', message, { hint })
  }
  io.stderr.write(`${text}\n`)
  const answer = await io.ask?.(
    `Type ${all} to erase ${names.length === 1 ? 'it' : 'them'}: `,
    io.signal,
  )
  if (
    answer
      ?.trim()
      .split(/[\s,]+/)
      .join(' ') === all
  )
    return
  throw new SiError(
    'ERR_SI_NOT_CONFIRMED',
    `Nothing was written to ${names.join(', ')}: not confirmed`,
    {
      hint,
    },
  )
}

function printReport(report: DeployReport, flags: DeployFlags, io: Io): void {
  if (flags.json) {
    writeJson(io, { type: 'report', ...report, durationMs: Math.round(report.durationMs) })
    return
  }
  for (const note of [...report.notes, ...report.leftOut]) io.stderr.write(`si-deploy: ${note}\n`)
  const { image, durationMs, contentBytes, fromServerBytes, fromPeersBytes, signedBy } = report
  const signature = signedBy === null ? 'unsigned' : `signed by ${signedBy}`
  io.stdout.write(
    `${image.name} ${image.version} (${signature}): ${report.fileCount} files, ${formatSize(contentBytes)} ` +
      `in ${formatDuration(durationMs)} (${formatRate((contentBytes * 1000) / durationMs)}); ` +
      `${formatSize(fromServerBytes)} from servers, ${formatSize(fromPeersBytes)} from peers\n`,
  )
}
