// Fills a prepared target: directories, pieces in whatever order they come, then all that is left.
// Invariant: the journal goes only when the whole tree is on the disk; an unfinished target keeps it.
import type { Progress } from '../core/core.ts'
import { openDiskRecorder, type DiskRecorder } from './disk-recorder.ts'
import type { Download } from './download.ts'
import { showProgress } from './show-progress.ts'
import type { PreparedTarget } from './target.ts'
import type { ManifestTables } from './worker-protocol.ts'

export interface FillOptions {
  readonly download: Download
  readonly tables: ManifestTables
  readonly prepared: PreparedTarget
  /** Flags of attributes that the target cannot keep, see createLossFlags(). */
  readonly losses: Uint8Array
  readonly progress: Progress
  readonly signal: AbortSignal
}

export async function fillTree(options: FillOptions): Promise<void> {
  const { download, tables, prepared, losses, progress, signal } = options
  const { manifest, table } = tables
  const { journal, fileSystems, directory } = prepared
  const root = Buffer.from(directory)
  const isFinished = new Uint8Array(new SharedArrayBuffer(table.count))
  const { chunks, pieceSha256 } = manifest
  const { isWritten } = download
  const recorder = openDiskRecorder({ journal, isWritten, fileSystems })
  try {
    if (download.spillBytes > 0) download.cache.openSpill(directory)
    await download.broadcast('open', { root, table, chunks, pieceSha256, isFinished, losses })
    await download.runTask('createDirectories', null)
    await writePieces(options, recorder)
    signal.throwIfAborted()
    progress.update({ phase: 'finishing', doneBytes: 0, totalBytes: undefined })
    await download.runTask('finishTree', null)
    progress.update({ phase: 'syncing', doneBytes: 0, totalBytes: undefined })
    await recorder.sync()
    await journal.remove()
    await download.runTask('finishRoot', null)
    await recorder.sync()
  } finally {
    await recorder.close()
  }
}

async function writePieces(
  { download, tables, prepared, progress, signal }: FillOptions,
  recorder: DiskRecorder,
): Promise<void> {
  const { torrent, packFirstPiece, isWritten } = download
  const { packBytes, pieceLengthBytes } = tables.manifest.header
  const { journal } = prepared
  const missing: number[] = []
  for (let piece = packFirstPiece; piece < isWritten.length; piece++) {
    if (!journal.pieces.has(piece)) missing.push(piece)
  }
  const before = journal.pieces.size
  const doneBytes = () => {
    const written = isWritten.reduce((sum, flag) => sum + flag, before)
    return Math.min(packBytes, written * pieceLengthBytes)
  }
  const stop = showProgress(progress, download, {
    ...{ phase: 'writing', totalBytes: packBytes, doneBytes },
  })
  recorder.start()
  try {
    torrent.want(missing)
    await torrent.received(missing, signal)
  } catch (error) {
    await recorder.record().catch(() => {}) // the error that ended the deployment is the one to tell
    throw error
  } finally {
    recorder.stop()
    stop()
  }
}
