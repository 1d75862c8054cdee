// The deployment itself, as a machine does it that nobody watches: the disk and the torrent are found out, the
// server hears how far it is. Invariant: success is reported when everything is on the disk, before seeding on, and
// until the server has heard of it the machine stays up: it would be installed again at its next network boot.
import { DONE_PHASE, type NodeAnswer } from '../../cluster/cluster.ts'
import { formatDuration, isSiError, SiError, systemClock, type Progress } from '../../core/core.ts'
import {
  deploy,
  formatPlan,
  type DeployIo,
  type DeployOptions,
  type DeployReport,
  type ExpectedImage,
  type OverrideOptions,
} from '../../deploy/deploy.ts'
import { listDisks, readUptimeSeconds } from '../../host/host.ts'
import type { Trust } from '../../pki/pki.ts'
import { untilItWorks } from './back-off.ts'
import { chooseDisk, refuseWithoutDisk } from './choose-disk.ts'
import { loadInstalledKernel } from './kexec.ts'
import type { After, NodeParameters } from './parameter-table.ts'
import { createPhaseTimes, type PhaseTimes } from './phase-times.ts'
import { reportingProgress } from './report-progress.ts'
import type { Reporter } from './reporter.ts'

export interface Installation {
  readonly parameters: NodeParameters
  readonly orders: NodeAnswer | undefined
  /** Who signed the orders; null: nobody. */
  readonly ordersSigner: string | null
  readonly after: After
  readonly trust: Trust
  /** TLS with the server and with peers; undefined: with nobody. */
  readonly security: DeployOptions['security']
  readonly threads: number
  readonly progress: Progress
  readonly reporter: Reporter
  /** For a person at the console, where a script failed; settles with its exit status. */
  readonly shell: (reason: string) => Promise<number>
}

/** A torrent that cannot be had now may come when its server does. */
const isTransient = (error: unknown) => isSiError(error, 'ERR_SI_TORRENT_UNAVAILABLE')

/** Settles when the disk is done, nobody is to get more pieces, and the server knows. How the machine is to end. */
export async function install(installation: Installation, signal: AbortSignal): Promise<After> {
  const { progress, reporter, after, shell } = installation
  refuseUnsignedScripts(installation)
  const target = await targetOf(installation)
  const torrent = torrentOf(installation)
  const options = toDeployOptions(installation, { torrent, target })
  const say = (text: string) => progress.note(text)
  say(`installing ${torrent}`)
  const times = createPhaseTimes(systemClock)
  let delivery = Promise.resolve()
  let ending = after
  const io: DeployIo = {
    progress: reportingProgress(progress, reporter, (phase) => times.enter(phase)),
    shell,
    confirm: async (plan) => formatPlan(plan).split('\n').forEach(say),
    async onComplete(report, directory) {
      const message = await sayInstalled(report, times, say)
      delivery = reporter.deliver({ phase: DONE_PHASE, percent: 100, message })
      delivery.catch(() => {}) // it is waited for below
      const isLoaded = after === 'kexec' && (await loadInstalledKernel(directory, say))
      ending = after === 'kexec' && !isLoaded ? 'reboot' : after
    },
  }
  await untilItWorks(() => deploy(options, io, signal), { isTransient, say, signal })
  await delivery
  return ending
}

async function sayInstalled(
  report: DeployReport,
  times: PhaseTimes,
  say: (text: string) => void,
): Promise<string> {
  const { durationMs, leftOut, notes } = report
  ;[...notes, ...leftOut].forEach(say)
  const { name, version } = report.image
  const installed = `${name}/${version} is installed, in ${formatDuration(durationMs)}`
  const upMs = 1000 * (await readUptimeSeconds())
  say(`phases: ${times.describe()}`)
  say(`${installed}, ${formatDuration(upMs)} after the kernel started`)
  return [installed, ...leftOut].join('; ')
}

/** Images of one's own choice may go unsigned; what runs as root by order of the network may not. */
function refuseUnsignedScripts({ orders, ordersSigner }: Installation): void {
  const { preInstall = [], postInstall = [] } = orders ?? {}
  if (preInstall.length + postInstall.length === 0 || ordersSigner !== null) return
  throw new SiError(
    'ERR_SI_UNTRUSTED',
    `The server orders scripts for ${orders?.host ?? ''}, and nobody signed that`,
    { hint: 'Let the server sign (si-server init), or take the scripts out of cluster.yaml' },
  )
}

function scriptsOf(
  orders: NodeAnswer | undefined,
  { server = '' }: NodeParameters,
): Pick<DeployOptions, 'scripts'> {
  if (orders === undefined) return {}
  const { preInstall, postInstall, onScriptFailure, scriptTimeLimitMs, groups } = orders
  const own = Object.entries(orders.parameters).filter(([name]) => !name.startsWith('si.'))
  return {
    scripts: {
      ...{ preInstall, postInstall, groups, server, onFailure: onScriptFailure },
      timeLimitMs: scriptTimeLimitMs ?? Infinity,
      parameters: Object.fromEntries(own),
    },
  }
}

/** The overrides of the server, with where it serves them; each has to be the one that was ordered. */
export function overridesOf(
  orders: Pick<NodeAnswer, 'overrides' | 'overrideTorrents'> | undefined,
): readonly OverrideOptions[] {
  return (orders?.overrides ?? []).map((spec, index) => {
    const torrent = orders?.overrideTorrents[index] ?? undefined
    if (torrent !== undefined) return { torrent, expect: toExpectation(spec) }
    throw new SiError('ERR_SI_CONFIGURATION', `The server orders ${spec}, and has no such image`, {
      hint: `Make it on the server: si-cluster override, or take it out of cluster.yaml`,
    })
  })
}

function toExpectation(spec: string): ExpectedImage {
  const [name = '', version] = spec.split('/')
  return { name, version }
}

/** A layout of the server chooses its disks itself; si.disk narrows that down. */
async function targetOf({ parameters, orders }: Installation): Promise<DeployOptions['target']> {
  const { disk } = parameters
  const present = await listDisks()
  refuseWithoutDisk(present)
  if (typeof orders?.layout === 'string') {
    const layout = { file: `the layout of ${orders.host}`, text: orders.layout }
    return { type: 'disk', devices: disk === undefined ? [] : [disk], layout }
  }
  return { type: 'disk', devices: [chooseDisk(disk, present)] }
}

function torrentOf({ parameters, orders }: Installation): string {
  const { torrent, server, image } = parameters
  if (torrent !== undefined) return torrent
  const isOrdered = image === undefined || image === orders?.image
  if (isOrdered && typeof orders?.torrent === 'string') return orders.torrent
  const wanted = image ?? orders?.image
  if (server !== undefined && wanted !== undefined) return `${server}/images/${wanted}/img.torrent`
  const missing = server === undefined ? 'si.server, ' : `${server} does not say and `
  throw new SiError(
    'ERR_SI_CONFIGURATION',
    `Nobody says what to install: ${missing}si.image and si.torrent are not given`,
    { hint: "Add this machine to the server's cluster.yaml, or give si.image=NAME" },
  )
}

function toDeployOptions(
  { parameters, orders, after, trust, security, threads }: Installation,
  { torrent, target }: Pick<DeployOptions, 'torrent' | 'target'>,
): DeployOptions {
  const { image = orders?.image, 'seed-for': seedForMs } = parameters
  return {
    ...{ torrent, target, trust, security, threads, lanes: 1 },
    expect: image === undefined ? undefined : toExpectation(image),
    overrides: overridesOf(orders),
    ...scriptsOf(orders, parameters),
    trackers: parameters.tracker,
    peers: parameters.peer,
    webSeeds: parameters['web-seed'],
    listenPort: 0,
    rack: parameters.rack,
    localDiscovery: true,
    finish: finishOf(parameters, orders),
    seedForMs: after === 'seed' && seedForMs === 0 ? Infinity : seedForMs,
    dryRun: false,
    pieceCacheBytes: parameters['piece-cache'],
    uploadBytesPerSecond: parameters['upload-limit'],
    downloadBytesPerSecond: parameters['download-limit'],
  }
}

function finishOf(
  { finish, firmware, initramfs, host }: NodeParameters,
  orders: NodeAnswer | undefined,
): DeployOptions['finish'] {
  if (!finish) return null
  const hostName = orders?.host ?? host ?? null
  return { firmware, initramfs, hostName, network: orders?.network ?? null }
}
