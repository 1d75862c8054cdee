// The door of capture: a golden client becomes an image in the repository, in one pass. Invariant: an
// image appears whole or not at all; whatever ends a capture early leaves no draft and no ssh behind.
// The way of the bytes: src/README.md, Life of a byte.
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  errnoOf,
  isSiError,
  SiError,
  systemClock,
  throwIfAborted,
  type Progress,
} from '../core/core.ts'
import {
  choosePieceLengthBytes,
  IMAGE_FILES,
  writeImage,
  type HeaderFacts,
  type ManifestHeader,
} from '../image/image.ts'
import type { ImageReference } from '../repository/repository.ts'
import { encodeMetainfo, parseMetainfo } from '../torrent/torrent.ts'
import { beginVersion, type BegunVersion, type VersionWish } from './begin-version.ts'
import { reportFlags } from './flags.ts'
import { isImport, prepareCapture, type Preparation, type SelectionOptions } from './prepare.ts'
import type { Selection } from './selection.ts'
import { tarScript } from './tar-command.ts'
import { captureError, openTarStream, type TarStream } from './tar-stream.ts'
import { MemberStream } from './member-stream.ts'
import { mergeTar } from './merged-tar.ts'
import { StrayFilter } from './stray-filter.ts'
import { openPrevious, rememberMembers, type Previous } from './previous.ts'

export { DEFAULT_EXCLUDES } from './excludes.ts'
export { parseRule, parseRuleFile } from './filter-rules.ts'
export { importImage, type ImportOptions } from './import-image.ts'
export type { CaptureSource } from './golden-client.ts'
export type { Amount } from './selection.ts'

export interface CaptureOptions extends SelectionOptions, VersionWish {
  /** Announce URLs for the torrent; the image server adds its own when it hands the torrent out. */
  readonly trackers?: readonly string[]
  /** A power of two. Left out: that of the image's latest version, else chosen by size. */
  readonly pieceLengthBytes?: number
  /**
   * Where files are taken from that have not changed since: the latest version of the name when left out,
   * null for none.
   */
  readonly previous?: ImageReference | null
  /** 1–19. */
  readonly zstdLevel: number
  /** Signs the finished manifest; left out: the image is not signed. */
  readonly sign?: ((manifestPath: string) => Promise<Uint8Array>) | undefined
  /** Threads that compress. */
  readonly threads: number
}

export interface CaptureReport {
  readonly image: ImageReference
  readonly header: ManifestHeader
  readonly durationMs: number
  /** Paths that changed while they were read; the image holds one of their states. */
  readonly changedFiles: readonly string[]
  /** What was not read again, and the image that it was taken from. */
  readonly takenOver: TakenOver | null
  readonly notes: readonly string[]
  /** True when tar said that files changed: the image is good, but not of one moment. */
  readonly exitedPartial: boolean
}

export interface TakenOver {
  readonly image: { readonly name: string; readonly version: string }
  readonly files: number
  /** In the tar, headers included. */
  readonly bytes: number
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
  const prepared = await prepareCapture(options, progress, signal)
  const pieceLengthBytes = await choosePieceLength(options, prepared.selection)
  const begun = await beginVersion(options, createdAt)
  const { draft } = begun
  try {
    const work = { ...options, ...prepared, ...begun, pieceLengthBytes, createdAt }
    const written = await writeDraft(work, progress, signal)
    throwIfAborted(signal)
    const image = await draft.commit()
    return { image, durationMs: systemClock.monotonicMs() - startedMs, ...written }
  } finally {
    await draft.discard() // does nothing after commit
  }
}

/** What a capture would hold. */
export interface CapturePreview extends Pick<Selection, 'captured' | 'excluded'> {
  readonly notes: readonly string[]
  /** Rules that hold, in order. */
  readonly rules: readonly string[]
}

/** Looks at the golden client as `capture` does, and stops before anything is written. */
export async function previewCapture(
  options: SelectionOptions,
  progress: Progress,
  signal: AbortSignal,
): Promise<CapturePreview> {
  const { plan, selection, notes } = await prepareCapture(options, progress, signal)
  const { captured, excluded } = selection
  return { captured, excluded, notes, rules: plan.excludes }
}

interface CaptureWork extends Omit<CaptureOptions, 'version'>, Preparation, BegunVersion {
  readonly pieceLengthBytes: number
  readonly createdAt: Date
}

async function writeDraft(work: CaptureWork, progress: Progress, signal: AbortSignal) {
  const { client, plan, list, selection, draft } = work
  await using previous = await findPrevious(work)
  const memory = isImport(work.source) ? null : rememberMembers(draft.directory, list, selection)
  const script = tarScript({ root: client.root, selection })
  const stopped = new AbortController()
  const flags = reportFlags(client, selection, AbortSignal.any([signal, stopped.signal]))
  const names = selection.names(previous?.unchanged.has)
  const stream = openTarStream(client, { script, names, strange: plan.captured.strange }, signal)
  const source =
    previous === undefined
      ? stream.source
      : mergeTar({ selection, ...previous, changed: new MemberStream(stream.source) })
  const filter = new StrayFilter(source, selection, list)
  try {
    const { header, torrent, notes } = await writeImage(filter, {
      directory: draft.directory,
      torrentName: `${work.name}-${work.version}`,
      pieceLengthBytes: work.pieceLengthBytes,
      zstdLevel: work.zstdLevel,
      threads: work.threads,
      nodeLinks: selection.nodeLinks,
      header: () => Promise.resolve(headerFacts(work, changesOf(stream, filter).changedFiles)),
      sign: work.sign,
      onProgress: followProgress(selection, progress),
      onMember: (place) => memory?.onMember(place),
      signal,
    })
    await memory?.close()
    await nameTrackers(draft.directory, torrent, work.trackers ?? [])
    const { unread, notes: tarNotes } = stream.messages()
    const { changedFiles, changedCount, changeNotes } = changesOf(stream, filter)
    return {
      header,
      changedFiles,
      takenOver: describe(previous),
      exitedPartial: work.isPartial || stream.isPartial() || changedCount > 0,
      notes: [...work.notes, ...unread, ...(await flags), ...tarNotes, ...notes, ...changeNotes],
    }
  } catch (error) {
    throw explainFailure(error, work)
  } finally {
    stopped.abort()
    await Promise.all([stream.close(), flags])
    await memory?.close().catch(() => {}) // that failed above, or after something worse
  }
}

/** What was no longer as listed when it was archived; complete at the end of the stream. */
function changesOf(stream: TarStream, filter: StrayFilter) {
  const said = stream.messages()
  const changedFiles = [...new Set([...said.changedFiles, ...filter.changedFiles])]
  const changedCount = said.changedCount + filter.changedCount
  const unnamed = changedCount - said.changedFiles.length - filter.changedFiles.length
  const changeNotes = [
    ...filter.notes,
    ...(unnamed > 0 ? [`${unnamed} more files changed while they were read`] : []),
  ]
  return { changedFiles, changedCount, changeNotes }
}

/** undefined when there is nothing to be taken over. */
async function findPrevious(work: CaptureWork): Promise<Previous | undefined> {
  const { previous, repository, name, list, selection } = work
  if (previous === null) return undefined
  try {
    return await openPrevious(previous ?? (await repository.open(name)), list, selection)
  } catch (error) {
    if (isSiError(error, 'ERR_SI_IMAGE_NOT_FOUND') && previous === undefined) return undefined
    throw error
  }
}

function describe(previous: Previous | undefined): TakenOver | null {
  if (previous === undefined) return null
  const { image, unchanged } = previous
  const { name, version } = image
  return { image: { name, version }, files: unchanged.files, bytes: unchanged.bytes }
}

function explainFailure(error: unknown, work: CaptureWork): unknown {
  const { client, repository, name } = work
  if (isSiError(error, 'ERR_SI_TAR_FORMAT')) {
    return captureError(client, 'its archive is damaged', error)
  }
  if (isSiError(error, 'ERR_SI_UNSAFE_PATH')) {
    return new SiError('ERR_SI_CAPTURE', `Cannot capture ${client.description}: ${error.message}`, {
      hint: 'Capture it again if it changed meanwhile, or leave it out with --exclude',
      cause: error,
    })
  }
  if (isSiError(error, 'ERR_SI_INTEGRITY')) {
    const what = `Cannot take over unchanged files from the last version: ${error.message}`
    const hint = 'Add --no-previous to read everything again'
    return new SiError('ERR_SI_CAPTURE', what, { hint, cause: error })
  }
  const code = errnoOf(error)
  if (code !== 'ENOSPC' && code !== 'EDQUOT') return error
  const where = `image "${name}" to ${repository.directory}`
  return new SiError('ERR_SI_CAPTURE', `Cannot write ${where}: the file system is full`, {
    hint: 'Make room there, or choose another repository',
    cause: error,
  })
}

function headerFacts(work: CaptureWork, changedFiles: readonly string[]) {
  const { plan } = work
  return {
    name: work.name,
    version: work.version,
    createdAt: work.createdAt.toISOString(),
    source: describeSource(work),
    boot: plan.boot,
    layout: plan.layout,
    fstab: plan.fstab,
    excludes: plan.excludes,
    ...(work.keptRules === undefined ? {} : { keptRules: work.keptRules }),
    changedFiles,
  }
}

/** A tree that was unpacked from an archive is known by the archive. */
function describeSource({ plan, source, client }: CaptureWork): HeaderFacts['source'] {
  if (source.type === 'ssh' || source.describedAs === undefined) return plan.source
  const { host, ...others } = source.describedAs
  const isNamed = plan.source.host !== client.description
  return { ...plan.source, ...others, host: isNamed ? plan.source.host : host }
}

function followProgress(selection: Selection, progress: Progress): (tarBytes: number) => void {
  return (doneBytes) => {
    const totalBytes = Math.max(selection.tarBytes, doneBytes)
    progress.update({ phase: 'capturing', doneBytes, totalBytes })
  }
}

/** System trees shrink to about a third at zstd level 3; half leaves room for less compressible ones. */
const PACKED_PART = 0.5

/** Versions of one image share their piece length, and so the places where chunks are cut. */
async function choosePieceLength(options: CaptureOptions, selection: Selection): Promise<number> {
  if (options.pieceLengthBytes !== undefined) return options.pieceLengthBytes
  try {
    const { torrentPath } = await options.repository.open(options.name)
    return parseMetainfo(await readFile(torrentPath)).pieceLengthBytes
  } catch (error) {
    const isLost = isSiError(error, 'ERR_SI_TORRENT_FORMAT') // a damaged version stops no new one
    if (!isLost && !isSiError(error, 'ERR_SI_IMAGE_NOT_FOUND')) throw error
    return choosePieceLengthBytes(selection.tarBytes * PACKED_PART)
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
