// Fills a prepared target: directories, pieces in whatever order they come, then all that is left.
// Invariant: the journal goes only when the whole tree is on the disk; an unfinished target keeps it.
import type { Progress } from '../core/core.ts'
import { checkRecorded, type Resumed } from './check-recorded.ts'
import { openDiskRecorder, type DiskRecorder } from './disk-recorder.ts'
import type { Download } from './download.ts'
import type { ManifestHeader } from '../image/image.ts'
import { goldenFileSystems } from './finish/initramfs.ts'
import type { MadeStorage } from './made-storage.ts'
import { showProgress } from './show-progress.ts'
import type { PreparedTarget } from './target.ts'
import type { ManifestTables } from './worker-protocol.ts'

export interface FillOptions {
  readonly download: Download
  readonly tables: ManifestTables
  readonly prepared: PreparedTarget
  /** What the target cannot keep, see createLossCounters(). */
  readonly losses: Uint32Array
  readonly withoutDevices: boolean
  /** Called when the tree is complete and on the disk; an error leaves the journal, so that it is called again. */
  readonly finish: () => Promise<void>
  readonly progress: Progress
  readonly signal: AbortSignal
}

/** Returns what an earlier run had left. */
export async function fillTree(options: FillOptions): Promise<Resumed> {
  const { download, prepared, progress } = options
  const { journal } = prepared
  return await writeTree(options, async (recorder) => {
    await download.runTask('finishRoot', null) // programs without privileges may look around from now on
    await options.finish()
    progress.update({ phase: 'syncing', doneBytes: 0, totalBytes: undefined })
    await recorder.sync()
    await journal.remove()
    await download.runTask('finishRoot', null)
    await recorder.sync()
  })
}

/** All entries but the root, on the disk when it calls `afterwards`. Returns what an earlier run had left. */
export async function writeTree(
  options: Omit<FillOptions, 'finish'>,
  afterwards: (recorder: DiskRecorder) => Promise<void> = () => Promise.resolve(),
): Promise<Resumed> {
  const { download, tables, prepared, losses, progress, signal } = options
  const { manifest, table } = tables
  const { journal, fileSystems, directory } = prepared
  const root = Buffer.from(directory)
  const isFinished = new Uint8Array(new SharedArrayBuffer(table.count))
  const { chunks, pieceSha256 } = manifest
  const { written } = download
  const recorder = openDiskRecorder({ journal, written, fileSystems })
  try {
    if (download.spillBytes > 0) download.cache.openSpill(directory)
    await download.broadcast('open', {
      ...{ root, table, chunks, pieceSha256, isFinished, losses },
      ...{
        ownerless: ownerlessMounts(manifest.header, prepared.storage),
        withoutDevices: options.withoutDevices,
      },
    })
    const { pieceLengthBytes } = manifest.header
    if (!journal.isNew) await download.runTask('clearChanged', null)
    const resumed = await checkRecorded({ download, journal, pieceLengthBytes, progress, signal })
    await download.runTask('createDirectories', null)
    await writePieces(options, recorder)
    signal.throwIfAborted()
    progress.update({ phase: 'finishing', doneBytes: 0, totalBytes: undefined })
    await download.runTask('finishTree', null)
    progress.update({ phase: 'syncing', doneBytes: 0, totalBytes: undefined })
    await recorder.sync()
    await afterwards(recorder)
    return resumed
  } catch (error) {
    await recorder.record().catch(() => {}) // the error that ended the deployment is the one to tell
    throw error
  } finally {
    await recorder.close()
  }
}

const OWNERLESS: ReadonlySet<string> = new Set(['vfat', 'msdos', 'exfat'])

/**
 * Where there are no owners and modes to lose: the golden client's own file systems without them, and the target's EFI
 * system partition, whose files nobody but firmware and root reads.
 */
function ownerlessMounts(header: ManifestHeader, storage: MadeStorage | null): Buffer[] {
  const golden = goldenFileSystems(header).filter(({ type }) => OWNERLESS.has(type))
  const efi = (storage?.disks ?? []).flatMap(({ efiPartitions }) => efiPartitions)
  const places = [...golden.map(({ mountPoint }) => mountPoint), ...efi.map((one) => one.mountedAt)]
  return places.flatMap((place) => (place === null ? [] : [Buffer.from(place.slice(1))]))
}

async function writePieces(
  { download, tables, prepared, progress, signal }: Omit<FillOptions, 'finish'>,
  recorder: DiskRecorder,
): Promise<void> {
  const { torrent, packFirstPiece, written } = download
  const { isWritten } = written
  const { packBytes, pieceLengthBytes } = tables.manifest.header
  const { journal } = prepared
  const missing: number[] = []
  for (let piece = packFirstPiece; piece < isWritten.length; piece++) {
    if (!journal.pieces.has(piece)) missing.push(piece)
  }
  const before = journal.pieces.size
  const doneBytes = () => {
    const pieces = isWritten.reduce((sum, flag) => sum + flag, before)
    return Math.min(packBytes, pieces * pieceLengthBytes)
  }
  const stop = showProgress(progress, download, {
    ...{ phase: 'writing', totalBytes: packBytes, doneBytes },
  })
  recorder.start()
  try {
    torrent.want(missing)
    await torrent.received(missing, signal)
  } finally {
    recorder.stop()
    stop()
  }
}
