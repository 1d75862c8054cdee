// The door of capture: a golden client becomes an image in the repository, in one pass. Invariant: an
// image appears whole or not at all; whatever ends a capture early leaves no draft and no ssh behind.
// The way of the bytes: src/README.md, Life of a byte.
import { readFile, realpath, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  errnoOf,
  isSiError,
  messageOf,
  SiError,
  systemClock,
  throwIfAborted,
  type Progress,
} from '../core/core.ts'
import {
  choosePieceLengthBytes,
  IMAGE_FILES,
  writeImage,
  type ManifestHeader,
} from '../image/image.ts'
import type {
  ImageDraft,
  ImageName,
  ImageReference,
  ImageVersion,
  Repository,
} from '../repository/repository.ts'
import { encodeMetainfo, parseMetainfo } from '../torrent/torrent.ts'
import { estimatePackBytes, knownSize, measureTree, type Measurement } from './estimate.ts'
import { createGoldenClient, type CaptureSource, type GoldenClient } from './golden-client.ts'
import { planCapture, type CapturePlan } from './plan.ts'
import { probe } from './probe.ts'
import { tarScript } from './tar-command.ts'
import { captureError, openTarStream, type TarStream } from './tar-stream.ts'

export { DEFAULT_EXCLUDES } from './excludes.ts'
export type { CaptureSource } from './golden-client.ts'

export interface CaptureOptions {
  readonly source: CaptureSource
  readonly repository: Repository
  readonly name: ImageName
  readonly version: ImageVersion
  /** Announce URLs for the torrent; the image server adds its own when it hands the torrent out. */
  readonly trackers?: readonly string[]
  /** Patterns of GNU tar, anchored at the root: `/var/cache/*`, where `*` matches slashes too. */
  readonly excludes: readonly string[]
  /** Also leave out DEFAULT_EXCLUDES and every lost+found. */
  readonly useDefaultExcludes: boolean
  /** A power of two. Left out: that of the image's latest version, else chosen by size. */
  readonly pieceLengthBytes?: number
  /** 1–19. */
  readonly zstdLevel: number
  /** Threads that compress. */
  readonly threads: number
}

export interface CaptureReport {
  readonly image: ImageReference
  readonly header: ManifestHeader
  readonly durationMs: number
  /** Paths that changed while they were read; the image holds one of their states. */
  readonly changedFiles: readonly string[]
  readonly notes: readonly string[]
  /** True when tar said that files changed: the image is good, but not of one moment. */
  readonly exitedPartial: boolean
}

/**
 * Captures the golden client. Throws ERR_SI_GOLDEN_CLIENT (unreachable, refused, unsuitable, lost),
 * ERR_SI_CAPTURE (tar failed), ERR_SI_IMAGE_LOCKED, ERR_SI_IMAGE_EXISTS, ERR_SI_ABORTED.
 */
export async function capture(
  options: CaptureOptions,
  progress: Progress,
  signal: AbortSignal,
): Promise<CaptureReport> {
  const startedMs = systemClock.monotonicMs()
  const createdAt = systemClock.now()
  const client = createGoldenClient(await locate(options.source))
  progress.update({ phase: 'probing', doneBytes: 0, totalBytes: undefined })
  const plan = planCapture(await probe(client, signal), {
    root: client.root,
    excludes: options.excludes,
    useDefaultExcludes: options.useDefaultExcludes,
    repositoryDirectory:
      options.source.type === 'root' ? await resolveExisting(options.repository.directory) : null,
  })
  plan.notes.forEach((note) => progress.note(note))
  const stopMeasuring = new AbortController()
  const size = measure(options.source.type, client, plan, stopMeasuring.signal)
  try {
    const pieceLengthBytes = await choosePieceLength(options, plan, size)
    const draft = await options.repository.begin(options.name, options.version)
    try {
      const work = { ...options, client, plan, size, draft, pieceLengthBytes, createdAt }
      const written = await writeDraft(work, progress, signal)
      throwIfAborted(signal)
      const image = await draft.commit()
      return { image, durationMs: systemClock.monotonicMs() - startedMs, ...written }
    } finally {
      await draft.discard() // does nothing after commit
    }
  } finally {
    stopMeasuring.abort()
  }
}

/** Where no golden client knows the size beforehand, du finds it out while tar already runs. */
function measure(
  type: CaptureSource['type'],
  client: GoldenClient,
  plan: CapturePlan,
  signal: AbortSignal,
): Measurement {
  return type === 'root' && plan.usedBytes === undefined
    ? measureTree(client.root, signal)
    : knownSize(plan.usedBytes)
}

interface CaptureWork extends CaptureOptions {
  readonly client: GoldenClient
  readonly plan: CapturePlan
  readonly size: Measurement
  readonly draft: ImageDraft
  readonly pieceLengthBytes: number
  readonly createdAt: Date
}

async function writeDraft(work: CaptureWork, progress: Progress, signal: AbortSignal) {
  const { client, plan, draft } = work
  const script = tarScript({
    root: client.root,
    mountPoints: plan.captured.mountPoints,
    excludes: plan.excludes,
  })
  const stream = openTarStream(client, { script, excludes: plan.excludes }, signal)
  try {
    const { header, torrent, notes } = await writeImage(stream.source, {
      directory: draft.directory,
      torrentName: `${work.name}-${work.version}`,
      pieceLengthBytes: work.pieceLengthBytes,
      zstdLevel: work.zstdLevel,
      threads: work.threads,
      header: () => Promise.resolve(headerFacts(work, stream)),
      onProgress: followProgress(work.size, progress),
      signal,
    })
    await nameTrackers(draft.directory, torrent, work.trackers ?? [])
    const { changedFiles, changedCount, notes: tarNotes } = stream.messages()
    const unnamed = changedCount - changedFiles.length
    return {
      header,
      changedFiles,
      exitedPartial: stream.hasChangedFiles(),
      notes: [
        ...plan.notes,
        ...tarNotes,
        ...notes,
        ...(unnamed > 0 ? [`${unnamed} more files changed while they were read`] : []),
      ],
    }
  } catch (error) {
    throw explainFailure(error, work)
  } finally {
    await stream.close()
  }
}

function explainFailure(error: unknown, work: CaptureWork): unknown {
  const { client, repository, name } = work
  if (isSiError(error, 'ERR_SI_TAR_FORMAT')) {
    return captureError(client, 'its archive is damaged', error)
  }
  if (isSiError(error, 'ERR_SI_UNSAFE_PATH')) {
    return new SiError('ERR_SI_CAPTURE', `Cannot capture ${client.description}: ${error.message}`, {
      hint: 'Leave it out with --exclude, or shorten it',
      cause: error,
    })
  }
  const code = errnoOf(error)
  if (code !== 'ENOSPC' && code !== 'EDQUOT') return error
  const where = `image "${name}" to ${repository.directory}`
  return new SiError('ERR_SI_CAPTURE', `Cannot write ${where}: the file system is full`, {
    hint: 'Make room there, or choose another repository',
    cause: error,
  })
}

function headerFacts(work: CaptureWork, stream: TarStream) {
  const { plan } = work
  return {
    name: work.name,
    version: work.version,
    createdAt: work.createdAt.toISOString(),
    source: plan.source,
    boot: plan.boot,
    layout: plan.layout,
    fstab: plan.fstab,
    excludes: plan.excludes,
    changedFiles: stream.messages().changedFiles,
  }
}

function followProgress(size: Measurement, progress: Progress): (tarBytes: number) => void {
  return (doneBytes) => {
    const estimate = size.bytes()
    const totalBytes = estimate === undefined ? undefined : Math.max(estimate, doneBytes)
    progress.update({ phase: 'capturing', doneBytes, totalBytes })
  }
}

/** A piece length that fits is worth this wait; beyond, an upper bound of the size has to do. */
const MEASURING_PATIENCE_MS = 2000

/** Versions of one image share their piece length, and so the places where chunks are cut. */
async function choosePieceLength(
  options: CaptureOptions,
  plan: CapturePlan,
  size: Measurement,
): Promise<number> {
  if (options.pieceLengthBytes !== undefined) return options.pieceLengthBytes
  try {
    const { torrentPath } = await options.repository.open(options.name)
    return parseMetainfo(await readFile(torrentPath)).pieceLengthBytes
  } catch (error) {
    const isLost = isSiError(error, 'ERR_SI_TORRENT_FORMAT') // a damaged version stops no new one
    if (!isLost && !isSiError(error, 'ERR_SI_IMAGE_NOT_FOUND')) throw error
    await size.settle(MEASURING_PATIENCE_MS)
    return choosePieceLengthBytes(estimatePackBytes(plan.facts, size.bytes()))
  }
}

async function nameTrackers(
  directory: string,
  torrent: Uint8Array,
  trackers: readonly string[],
): Promise<void> {
  if (trackers.length === 0) return
  const { infoBytes } = parseMetainfo(torrent)
  const tiers = trackers.map((tracker) => [tracker])
  await writeFile(
    join(directory, IMAGE_FILES.torrent),
    encodeMetainfo({ infoBytes, trackers: tiers, createdBy: 'SwarmImager' }),
  )
}

/** A local tree by its real path, because mount points are compared with it. */
async function locate(source: CaptureSource): Promise<CaptureSource> {
  if (source.type === 'ssh') return source
  try {
    const directory = await realpath(source.directory)
    if ((await stat(directory)).isDirectory()) return { type: 'root', directory }
  } catch (error) {
    throw new SiError(
      'ERR_SI_GOLDEN_CLIENT',
      `Cannot capture ${source.directory}: ${messageOf(error)}`,
      { cause: error },
    )
  }
  throw new SiError(
    'ERR_SI_GOLDEN_CLIENT',
    `Cannot capture ${source.directory}: it is no directory`,
  )
}

async function resolveExisting(path: string): Promise<string> {
  return realpath(path).catch(() => path) // not created yet: nothing to leave out
}
