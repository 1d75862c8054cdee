// Fills a prepared target: directories, pieces in whatever order they come, then all that is left.
// Invariant: the journal goes only when the whole tree is on the disk; an unfinished target keeps it.
import { closeSync, openSync } from 'node:fs'
import { SiError, messageOf, type Progress } from '../core/core.ts'
import { syncfsAsync } from '../host/host.ts'
import type { Download } from './download.ts'
import { createProgressRecorder } from './record-progress.ts'
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
  const root = Buffer.from(prepared.directory)
  const isFinished = new Uint8Array(new SharedArrayBuffer(table.count))
  const { chunks, pieceSha256 } = manifest
  if (download.spillBytes > 0) download.cache.openSpill(prepared.directory)
  await download.broadcast('open', { root, table, chunks, pieceSha256, isFinished, losses })
  await download.runTask('createDirectories', null)
  await writePieces(options)
  signal.throwIfAborted()
  progress.update({ phase: 'finishing', doneBytes: 0, totalBytes: undefined })
  await download.runTask('finishTree', null)
  progress.update({ phase: 'syncing', doneBytes: 0, totalBytes: undefined })
  await syncAll(prepared.fileSystems)
  await prepared.journal.remove()
  await download.runTask('finishRoot', null)
  await syncAll(prepared.fileSystems)
}

async function writePieces({
  download,
  tables,
  prepared,
  progress,
  signal,
}: FillOptions): Promise<void> {
  const { torrent, packFirstPiece, isWritten } = download
  const { packBytes, pieceLengthBytes } = tables.manifest.header
  const { journal, fileSystems } = prepared
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
  const recorder = createProgressRecorder({ journal, isWritten, fileSystems })
  try {
    torrent.want(missing)
    await torrent.received(missing, signal)
  } catch (error) {
    await recorder.record().catch(() => {}) // the error that ended the deployment is the one to tell
    throw error
  } finally {
    await recorder.close()
    stop()
  }
}

async function syncAll(directories: readonly string[]): Promise<void> {
  for (const directory of directories) {
    const fd = openSync(directory, 'r')
    try {
      await syncfsAsync(fd)
    } catch (error) {
      const message = `Cannot write to ${directory}: ${messageOf(error)}`
      throw new SiError('ERR_SI_DEPLOY', message, { cause: error })
    } finally {
      closeSync(fd)
    }
  }
}
