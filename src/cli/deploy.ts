// si-deploy: this machine gets the image, and gives its pieces on to its neighbours.
import { formatDuration, formatRate, formatSize, SiError } from '../core/core.ts'
import type {
  DeployOptions,
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
import { confirmPlan, printPlan, toTarget, type TargetFlags } from './deploy-disks.ts'
import { openReports, reportOption } from './deploy-report.ts'
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

interface DeployFlags extends TrustFlags, TlsFlags, FinishFlags, ScriptFlags, TargetFlags {
  readonly expect?: ExpectedImage
  readonly expectOverride: readonly ExpectedImage[]
  readonly torrent: string
  readonly override: readonly string[]
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
  readonly report?: string
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
    .addOption(reportOption())
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
  const shown = createCommandProgress(io, { command: 'si-deploy', json: flags.json === true })
  const onNote = (text: string) => shown.note(text)
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
  const { hostName: host } = flags
  const reports = await openReports(flags.dryRun ? undefined : flags.report, {
    ...{ host, progress: shown, credentials: security?.credentials },
  })
  try {
    const { leftOut } = await deploy(
      options,
      {
        progress: reports.progress,
        shell: terminalShell(io, () => shown.end()),
        confirm: async (plan) => {
          shown.end()
          if (flags.dryRun) printPlan(plan, formatPlan(plan), flags, io)
          else await confirmPlan(plan, formatPlan(plan), flags, io)
        },
        async onComplete(report) {
          shown.end()
          printReport(report, flags, io)
          await reports.done(report)
        },
      },
      io.signal,
    )
    return leftOut.length === 0
  } catch (error) {
    await reports.failed(error)
    throw error
  } finally {
    security?.close()
    shown.end()
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
