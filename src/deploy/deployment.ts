// A deployment: an image becomes a tree on a disk or in a directory while its pieces travel through
// the swarm. Order: manifest → signature → plan → confirm → pre-install scripts → prepare → pieces in any order → finish → seed on.
// Invariant: nothing is written before the signature was checked and the plan confirmed; whatever ends a deployment, nothing stays
// mounted, and an unfinished target holds a journal from which the same command goes on.
import { isDeepStrictEqual } from 'node:util'
import {
  abortedError,
  isSiError,
  messageOf,
  SiError,
  throwIfAborted,
  type Progress,
} from '../core/core.ts'
import { readFirmware, readMemoryAvailable } from '../host/host.ts'
import { createLossCounters, describeLosses } from './attribute-loss.ts'
import { openDirectoryTarget } from './directory-target.ts'
import { openDiskTarget } from './disks/disk-target.ts'
import { startDownload, type Download } from './download.ts'
import { fetchTrusted, refuseUnsigned } from './fetch-trusted.ts'
import { fillTree } from './fill-tree.ts'
import { planFinish, type FinishPlan } from './finish/finish-plan.ts'
import { finishTarget, type FinishReport } from './finish/finish.ts'
import { checkTargetPrograms } from './finish/target-system.ts'
import { loadTorrent } from './load-torrent.ts'
import type { DeployIo, DeployOptions, DeployReport } from './options.ts'
import { layOverride, openOverrides, type OpenedOverrides } from './overrides.ts'
import { NO_SCRIPTS, parseInterpreter } from './scripts/script.ts'
import type { ScriptFacts } from './scripts/script-environment.ts'
import { createScripts, type Scripts } from './scripts/scripts.ts'
import { showProgress } from './show-progress.ts'
import { openTargetTree } from './finish/target-tree.ts'
import type { ImageFacts, PreparedTarget, Target } from './target.ts'
import { findDevices } from './tree.ts'
import type { ManifestTables } from './worker-protocol.ts'

/** Throws and settles as deploy() does. */
export async function runDeployment(
  options: DeployOptions,
  io: DeployIo,
  signal: AbortSignal,
): Promise<DeployReport> {
  const startMs = performance.now()
  refuseWithoutRoot(options)
  const { preInstall, postInstall } = options.scripts ?? NO_SCRIPTS
  for (const script of [...preInstall, ...postInstall]) parseInterpreter(script)
  throwIfAborted(signal)
  const { progress } = io
  progress.update({ phase: 'reading torrent', doneBytes: 0, totalBytes: undefined })
  const metainfo = await loadTorrent(options.torrent, { signal, security: options.security })
  await refuseUnsigned(metainfo, options.trust)
  const webSeeds = [...metainfo.webSeeds, ...(options.webSeeds ?? [])]
  const { trackers, peers } = options
  if ([...metainfo.trackers.flat(), ...trackers, ...peers, ...webSeeds].length === 0) {
    const isSearching = options.localDiscovery === true && !metainfo.isPrivate
    const hope = isSearching ? 'looking on the local network' : 'waiting for peers that know us'
    progress.note(`the torrent names no tracker: ${hope}`)
    progress.note('fetch the torrent from si-server, or add --tracker, --peer or --web-seed')
  }
  const how = {
    ...{ trackers, peers, threads: options.threads, lanes: options.lanes },
    security: options.security,
    ...{ host: options.listenHost, port: options.listenPort, rack: options.rack },
    localDiscovery: options.localDiscovery === true,
    uploadBytesPerSecond: options.uploadBytesPerSecond,
    downloadBytesPerSecond: options.downloadBytesPerSecond,
    pieceCacheBytes: options.pieceCacheBytes ?? (await defaultPieceCacheBytes()),
    onNote: (text: string) => progress.note(text),
  }
  const download = await startDownload({ ...how, metainfo, webSeeds })
  let overrides: OpenedOverrides | undefined
  let target: Target | undefined
  try {
    const { tables, verdict } = await whileShowing(progress, download, 'reading manifest', () =>
      fetchTrusted(download, { metainfo, ...options }, signal),
    )
    verdict.notes.forEach((note) => progress.note(note))
    const { infoHash, pieceCount } = metainfo
    const { header } = tables.manifest
    const { trust } = options
    const opening = { download: how, trust, progress, signal }
    overrides = await openOverrides(options.overrides ?? [], opening)
    const spillBytes = download.spillBytes + overrides.contentBytes // on the root, as far as is known
    const facts = { header, table: tables.table, infoHash, pieceCount, spillBytes }
    const finish = await planFinishing(options, facts)
    const firmware = finish?.firmware ?? 'none'
    target = await openTarget(options, { ...facts, firmware }, signal)
    const over = overrides.names.map((name) => `lay ${name} over it`)
    const before = preInstall.map(({ name }) => `script ${name}`)
    const finishing = [...over, ...(finish?.steps ?? [])]
    await io.confirm({ ...target.plan, before, finishing })
    const { notes } = target.plan
    const signedBy = verdict.signer
    const scripts = scriptsOf(options, { header, firmware, plan: target.plan }, { io, signal })
    const summary = { download, tables, startMs, signedBy, notes, scripts, ...NOTHING_FINISHED }
    if (options.dryRun) return createReport(summary)
    if (preInstall.length > 0) {
      await scripts.runBefore()
      const { plan } = target
      await target.close() // a script may have changed the disks: they are looked at once more
      target = await openTarget(options, { ...facts, firmware }, signal)
      if (!isDeepStrictEqual(target.plan, plan)) await io.confirm({ ...target.plan, finishing })
    }
    progress.update({ phase: 'preparing', doneBytes: 0, totalBytes: undefined })
    const prepared = await target.prepare(signal)
    const report = await fill({
      ...{ prepared, summary, progress, signal, finish, overrides },
      choices: options.finish,
      withoutDevices: options.withoutDevices === true,
      hasScripts: postInstall.length > 0,
    }).catch((error: unknown) => {
      throw sayHowToGoOn(error, signal)
    })
    await io.onComplete?.(report, prepared.directory)
    await seedOn(options.seedForMs, { download, progress, signal })
    return report
  } finally {
    await overrides?.close()
    await download.close().finally(() => target?.close())
  }
}

interface Summary {
  readonly download: Download
  readonly tables: ManifestTables
  readonly startMs: number
  readonly signedBy: string | null
  readonly notes: readonly string[]
  readonly scripts: Scripts
  readonly resumedPieces: number
  readonly finishing: FinishReport['steps']
  readonly leftOut: readonly string[]
}

const NOTHING_FINISHED = { resumedPieces: 0, finishing: [], leftOut: [] }

interface FillContext {
  readonly overrides: OpenedOverrides
  readonly finish: FinishPlan | null
  readonly choices: DeployOptions['finish']
  readonly withoutDevices: boolean
  /** For the finished system. */
  readonly hasScripts: boolean
  readonly prepared: PreparedTarget
  readonly summary: Summary
  readonly progress: Progress
  readonly signal: AbortSignal
}

async function fill(context: FillContext): Promise<DeployReport> {
  const { prepared, summary, progress, signal, withoutDevices } = context
  const { download, tables } = summary
  const losses = createLossCounters()
  let finished: FinishReport = { steps: [], notes: [], leftOut: [] }
  const over = { prepared, losses, withoutDevices, progress, signal }
  const finish = async () => {
    for (const override of context.overrides.list) await layOverride(override, over)
    finished = await finishMachine(context)
  }
  const how = { download, tables, prepared, losses, withoutDevices, finish, progress, signal }
  const resumed = await fillTree(how)
  const devices = withoutDevices ? findDevices(tables.table).size : 0
  const notes = [
    ...summary.notes,
    ...(devices > 0 ? [`${devices} device nodes are left out, as --no-devices says`] : []),
    ...describeLosses(losses),
    ...finished.notes,
  ]
  const { steps: finishing } = finished
  const leftOut = [...finished.leftOut, ...summary.scripts.failures]
  return createReport({ ...summary, notes, resumedPieces: resumed.pieces, finishing, leftOut })
}

async function planFinishing(
  options: DeployOptions,
  { header, table }: ImageFacts,
): Promise<FinishPlan | null> {
  const { finish: choices, target } = options
  const scripts = options.scripts?.postInstall ?? []
  if (choices === null) {
    if (scripts.length === 0) return null
    const message = 'Post-install scripts run in the finished system: --no-finish contradicts them'
    throw new SiError('ERR_SI_USAGE', message, { hint: 'Leave out one of them' })
  }
  const machine = readFirmware()
  const plan = planFinish({
    ...{ choices, imageName: header.name, table, machine, scripts },
    target: target.type,
  })
  const isSystem = target.type === 'disk' && plan.steps.length > 0
  if (isSystem || scripts.length > 0) await checkTargetPrograms()
  return plan
}

function scriptsOf(
  { scripts = NO_SCRIPTS, finish }: DeployOptions,
  facts: Omit<ScriptFacts, 'hostName'>,
  { io, signal }: { readonly io: DeployIo; readonly signal: AbortSignal },
): Scripts {
  const { progress, shell } = io
  const hostName = finish?.hostName ?? null
  return createScripts(scripts, { facts: { ...facts, hostName }, progress, shell, signal })
}

async function finishMachine(context: FillContext): Promise<FinishReport> {
  const { prepared, summary, finish, choices, progress, signal } = context
  if (finish === null || choices === null) return { steps: [], notes: [], leftOut: [] }
  const { directory, storage } = prepared
  const { header } = summary.tables.manifest
  const { firmware } = finish
  const { initramfs, hostName, network } = choices
  const identity = { hostName, network }
  const { scripts } = summary
  const tree = openTargetTree(directory)
  if (tree.isDirectory('etc')) await scripts.keepLogs(tree)
  const runScripts = context.hasScripts ? scripts.runAfter : null
  const options = { directory, storage, header, firmware, initramfs, identity, runScripts }
  return await finishTarget(options, progress, signal)
}

function createReport(summary: Summary): DeployReport {
  const { header } = summary.tables.manifest
  const stats = summary.download.torrent.stats()
  const { name, version, contentBytes, packBytes, entryCount } = header
  const { fromServerBytes, fromPeersBytes, wastedBytes, badPieces } = stats
  const durationMs = performance.now() - summary.startMs
  const { resumedPieces, signedBy, notes, finishing, leftOut } = summary
  return {
    ...{ image: { name, version }, durationMs, contentBytes, packBytes, fileCount: entryCount },
    ...{ fromServerBytes, fromPeersBytes, wastedBytes, badPieces, resumedPieces, signedBy, notes },
    ...{ finishing, leftOut, scripts: summary.scripts.reports },
  }
}

function openTarget(
  { target, dryRun }: DeployOptions,
  facts: ImageFacts,
  signal: AbortSignal,
): Promise<Target> {
  return target.type === 'root'
    ? openDirectoryTarget(target.directory, facts)
    : openDiskTarget(target, facts, { dryRun, signal })
}

async function seedOn(
  durationMs: number,
  how: {
    readonly download: Download
    readonly progress: Progress
    readonly signal: AbortSignal
  },
): Promise<void> {
  if (durationMs <= 0 || how.signal.aborted) return
  await whileShowing(how.progress, how.download, 'seeding', async () => {
    const { promise, resolve } = Promise.withResolvers<void>()
    how.signal.addEventListener('abort', () => resolve(), { once: true })
    const timer = durationMs <= MAX_TIMER_MS ? setTimeout(resolve, durationMs) : undefined
    const keepAlive = setInterval(() => {}, MAX_TIMER_MS)
    await promise
    clearTimeout(timer)
    clearInterval(keepAlive)
  })
}

/** Timers hold 31 bits; longer is for ever as far as a deployment goes. */
const MAX_TIMER_MS = 2 ** 31 - 1

async function whileShowing<T>(
  progress: Progress,
  download: Download,
  phase: string,
  act: () => Promise<T>,
): Promise<T> {
  const stop = showProgress(progress, download, { phase, totalBytes: undefined })
  try {
    return await act()
  } finally {
    stop()
  }
}

/** Half of the free memory, but never the last 512 MiB. */
async function defaultPieceCacheBytes(): Promise<number> {
  const availableBytes = await readMemoryAvailable()
  return Math.max(0, Math.min(availableBytes / 2, availableBytes - 512 * 2 ** 20))
}

function refuseWithoutRoot(options: DeployOptions): void {
  const isRoot = process.geteuid?.() === 0
  if (isRoot || (options.dryRun && options.target.type === 'root')) return
  throw new SiError('ERR_SI_TARGET_UNSUITABLE', 'Cannot deploy: owners and disks need root', {
    hint: 'Run the command as root',
  })
}

const GO_ON_HINT = 'Run the same command again to go on where it stopped'

function sayHowToGoOn(error: unknown, signal: AbortSignal): unknown {
  if (signal.aborted || isSiError(error, 'ERR_SI_ABORTED')) {
    const reason = signal.aborted ? abortedError(signal) : error
    const message = `${messageOf(reason)}: the target is unfinished, its journal is kept`
    return new SiError('ERR_SI_ABORTED', message, { hint: GO_ON_HINT, cause: error })
  }
  return error
}
