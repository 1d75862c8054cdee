// The whole product once, on this machine: a golden client is captured over ssh, a server seeds its
// image, three bare nodes deploy it at the same time, and each result is compared with the golden
// client. Everything happens in network namespaces and on loop devices, and is gone afterwards.
// Run it with `npm run demo`; `npm run demo -- --help` shows the options.
import { mkdir, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { formatDuration, formatSize, messageOf, parseRate, SiError } from '../src/core/core.ts'
import * as lab from '../test/lab/lab.ts'

const GIB = 2 ** 30
/** Disks of different sizes: the last partition is fitted to each. */
const NODES = [
  { name: 'node01', diskBytes: 1.5 * GIB },
  { name: 'node02', diskBytes: 2 * GIB },
  { name: 'node03', diskBytes: 3 * GIB },
]
/** si-getimage: the image is whole, but files changed while they were read. */
const EXIT_PARTIAL = 3
const TORRENT = 'http://server:8080/images/golden01/img.torrent'
const HELP = `npm run demo -- [--rate 25MB/s]

  --rate RATE   what each network cable carries in each direction, per second (default 25MB/s, which
                is 200 Mbit/s); choose it so low that this machine's processor is not the limit

Needs root: it makes network namespaces, loop devices and mounts, and removes them again.
`

interface Bench {
  readonly scope: lab.Scope
  readonly network: lab.Network
  readonly repository: string
  /** Folder of the server's certificates; the nodes get nothing of it but ca.pem. */
  readonly pki: string
  /** The path of a command such as si-deploy. */
  readonly command: (name: string) => string
}

interface ImageReport {
  /** Changed on the running golden client while tar read them; empty as a rule. */
  readonly changedFiles: readonly string[]
  readonly contentBytes: number
  readonly packBytes: number
  readonly pieceCount: number
}

interface NodeReport {
  readonly durationMs: number
  readonly contentBytes: number
  readonly packBytes: number
  readonly fromServerBytes: number
  readonly fromPeersBytes: number
}

const startedMs = performance.now()

function say(text: string): void {
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(1).padStart(6)
  process.stdout.write(`${seconds} s  ${text}\n`)
}

/** Returns whether every node is identical to the golden client. */
async function demo(scope: lab.Scope, linkBytesPerSecond: number): Promise<boolean> {
  const hosts = ['golden01', 'server', ...NODES.map(({ name }) => name)]
  say(`making a network of ${hosts.join(', ')}, ${linkBytesPerSecond / 1e6} MB/s each way`)
  const network = await lab.createNetwork(scope, { hosts, bitsPerSecond: linkBytesPerSecond * 8 })
  const bench = {
    scope,
    network,
    repository: join(scope.directory, 'repository'),
    pki: join(scope.directory, 'pki'),
    command: await linkCommands(scope),
  }
  await makeCertificates(bench)
  const golden = await lab.startGoldenClient(scope, {
    host: network('golden01'),
    from: network('server'),
    say,
  })
  const image = await captureImage(bench, golden)
  await golden.powerOff() // from here on, the image is all there is
  await startServer(bench)
  const nodes = await deployAll(bench)
  say('comparing the disks of the nodes with the golden disk')
  let areIdentical = true
  for (const node of nodes) {
    const differences = await lab.compareWithGolden(scope, golden, node)
    for (const line of differences) say(`${node.name} differs: ${line}`)
    areIdentical &&= differences.length === 0
  }
  printTable(nodes, image, linkBytesPerSecond)
  say(areIdentical ? 'every node is identical to golden01' : 'NOT every node is identical')
  return areIdentical
}

/** The commands under their familiar names, as an installed package has them in PATH. */
async function linkCommands(scope: lab.Scope): Promise<(name: string) => string> {
  const directory = join(scope.directory, 'bin')
  await mkdir(directory)
  for (const name of ['si-getimage', 'si-server', 'si-deploy']) {
    await symlink(join(import.meta.dirname, '../src/cli/si'), join(directory, name))
  }
  return (name) => join(directory, name)
}

/** From here on images are signed; the nodes are told whom to trust with --trust. */
async function makeCertificates(bench: Bench): Promise<void> {
  say('server: si-server init')
  const args = ['init', '--pki', bench.pki, '--dns', 'server']
  const program = bench.command('si-server')
  await lab.runOnHost(bench.scope, bench.network('server'), { program, args })
}

async function captureImage(bench: Bench, golden: lab.GoldenClient): Promise<ImageReport> {
  say('server: si-getimage golden01')
  const options = golden.sshOptions.flatMap((option) => ['--ssh-option', option])
  const where = ['--repository', bench.repository, '--pki', bench.pki]
  const access = ['--identity', golden.identityFile, ...options]
  const image = await runToReport<ImageReport>(bench, 'server', {
    program: 'si-getimage',
    args: ['golden01', ...where, ...access, '--json'],
    okExitCodes: [0, EXIT_PARTIAL],
    onProgress: createStatusLine(),
  })
  for (const path of image.changedFiles) say(`golden01 changed while it was read: ${path}`)
  const sizes = `${formatSize(image.contentBytes)} of files → ${formatSize(image.packBytes)}`
  say(`server: ${sizes} in ${image.pieceCount} pieces`)
  return image
}

async function startServer(bench: Bench): Promise<void> {
  say('server: si-server')
  const args = ['--repository', bench.repository, '--pki', bench.pki]
  const program = bench.command('si-server')
  const server = lab.startOnHost(bench.scope, bench.network('server'), { program, args })
  server.exited.then(
    (exitCode) => {
      if (exitCode !== 0) say(`si-server ended with status ${exitCode}: ${server.lastWords()}`)
    },
    () => {}, // interrupted
  )
  await lab.waitForHttp(bench.scope, bench.network('node01'), 'http://server:8080/health', server)
}

interface DeployedNode extends NodeReport {
  readonly name: string
  readonly disk: lab.LoopDisk
}

async function deployAll(bench: Bench): Promise<DeployedNode[]> {
  const disks: { name: string; disk: lab.LoopDisk }[] = []
  for (const { name, diskBytes } of NODES) {
    const disk = await lab.createLoopDisk(bench.scope, { name, sizeBytes: diskBytes })
    disks.push({ name, disk })
  }
  const from = ['--torrent', TORRENT, '--trust', join(bench.pki, 'ca.pem')]
  // Left as in the image, since every file is compared; the golden client here has no kernel to boot either.
  const args = (device: string) => [...from, '--disk', device, '--confirm', device, '--no-finish']
  say(`${NODES.length} nodes at once: si-deploy ${args('/dev/loopN').join(' ')}`)
  const onProgress = createStatusLine()
  return Promise.all(
    disks.map(async ({ name, disk }) => {
      const report = await runToReport<NodeReport>(bench, name, {
        program: 'si-deploy',
        args: [...args(disk.device), '--seed-for', '10s', '--json'],
        okExitCodes: [0],
        onProgress,
      })
      return { ...report, name, disk }
    }),
  )
}

interface Reporting {
  readonly program: string
  readonly args: readonly string[]
  readonly okExitCodes: readonly number[]
  readonly onProgress: (host: string, text: string) => void
}

/** Runs one of our commands with --json on a host to its end; its last report. */
async function runToReport<T>(bench: Bench, hostName: string, options: Reporting): Promise<T> {
  let report: T | undefined
  const program = lab.startOnHost(bench.scope, bench.network(hostName), {
    program: bench.command(options.program),
    args: options.args,
    onLine: (line) => {
      const event = JSON.parse(line) as { type: string } & Record<string, unknown>
      if (event.type === 'progress' && report === undefined) {
        options.onProgress(hostName, describeProgress(event))
      }
      if (event.type !== 'report') return
      report = event as T
      say(`${hostName}: complete in ${formatDuration(Number(event['durationMs']))}`)
    },
  })
  const exitCode = await program.exited
  if (report !== undefined && options.okExitCodes.includes(exitCode)) return report
  const what = `${options.program} on ${hostName} ended with status ${exitCode}`
  throw new SiError('ERR_SI_PROGRAM_FAILED', `${what}: ${program.lastWords()}`)
}

/** What every host is doing, in one line every two seconds. */
function createStatusLine(): Reporting['onProgress'] {
  const status = new Map<string, string>()
  let lastMs = performance.now()
  return (host, text) => {
    status.set(host, text)
    if (performance.now() - lastMs < 2000) return
    lastMs = performance.now()
    const hosts = [...status].sort(([a], [b]) => a.localeCompare(b))
    say(hosts.map(([name, doing]) => `${name}: ${doing}`).join(' · '))
  }
}

function describeProgress(event: Record<string, unknown>): string {
  const [doneBytes, totalBytes] = [Number(event['doneBytes']), event['totalBytes']]
  const phase = String(event['phase'])
  if (typeof totalBytes !== 'number' || totalBytes === 0) return phase
  return `${phase} ${Math.min(99, Math.floor((100 * doneBytes) / totalBytes))} %`
}

function printTable(nodes: readonly DeployedNode[], image: ImageReport, rate: number): void {
  const limitSeconds = lab.fluidLimitSeconds({
    sizeBytes: image.packBytes,
    nodeCount: nodes.length,
    pieceCount: image.pieceCount,
    linkBytesPerSecond: rate,
  })
  const header = ['node', 'seconds', 'MB/s', 'from server', 'from peers', '× fluid limit']
  const rows = nodes.map((node) => {
    const seconds = node.durationMs / 1000
    return [
      node.name,
      seconds.toFixed(1),
      (node.contentBytes / 1e6 / seconds).toFixed(1),
      formatSize(node.fromServerBytes),
      formatSize(node.fromPeersBytes),
      (seconds / limitSeconds).toFixed(2),
    ]
  })
  const widths = header.map((_title, i) =>
    Math.max(...[header, ...rows].map((r) => r[i]?.length ?? 0)),
  )
  process.stdout.write('\n')
  for (const row of [header, ...rows]) {
    process.stdout.write(`  ${row.map((cell, i) => cell.padStart(widths[i] ?? 0)).join('  ')}\n`)
  }
  process.stdout.write(
    `\n  MB/s: file content. Fluid limit: ${limitSeconds.toFixed(2)} s for ` +
      `${formatSize(image.packBytes)} to ${nodes.length} nodes at ${rate / 1e6} MB/s per link\n\n`,
  )
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      rate: { type: 'string', default: '25MB/s' },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) {
    process.stdout.write(HELP)
    return 0
  }
  const rate = parseRate(values.rate)
  if (rate === undefined || rate === 0) {
    throw new SiError('ERR_SI_USAGE', 'The demo needs a finite --rate to compare with')
  }
  if (process.getuid?.() !== 0) {
    throw new SiError('ERR_SI_USAGE', 'Cannot make network namespaces and loop devices: not root', {
      hint: 'Run sudo npm run demo',
    })
  }
  const areIdentical = await lab.withScope((scope) => demo(scope, rate))
  say('everything that was made has been removed')
  return areIdentical ? 0 : 1
}

try {
  process.exitCode = await main()
} catch (error) {
  process.stderr.write(`error: ${messageOf(error)}\n`)
  if (error instanceof SiError && error.hint !== undefined) {
    process.stderr.write(`hint: ${error.hint}\n`)
  }
  const isInterrupt = error instanceof SiError && error.code === 'ERR_SI_ABORTED'
  process.exitCode = isInterrupt ? 130 : 1
}
