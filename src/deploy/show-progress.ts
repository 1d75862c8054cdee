// Progress of a deployment: asked of the swarm a few times a second, told to whoever listens.
import { formatRate, type Progress } from '../core/core.ts'
import type { Download } from './download.ts'

const INTERVAL_MS = 250

/** Tells phase, bytes and peers until the returned function is called; then once more. */
export function showProgress(
  progress: Progress,
  download: Download,
  what: {
    readonly phase: string
    readonly totalBytes: number | undefined
    /** Bytes done so far; those downloaded when left out. */
    readonly doneBytes?: () => number
  },
): () => void {
  const show = () => {
    const { downloadedBytes, peers, uploadBytesPerSecond, trackerStatus } = download.torrent.stats()
    const count = peers.length === 1 ? '1 peer' : `${peers.length} peers`
    const sending = uploadBytesPerSecond > 0 ? `, sending ${formatRate(uploadBytesPerSecond)}` : ''
    const alone = peers.length === 0 && trackerStatus !== '' ? ` (${trackerStatus})` : ''
    progress.update({
      phase: what.phase,
      doneBytes: what.doneBytes?.() ?? downloadedBytes,
      totalBytes: what.totalBytes,
      detail: `${count}${alone}${sending}`,
    })
  }
  show()
  const timer = setInterval(show, INTERVAL_MS)
  timer.unref()
  return () => {
    clearInterval(timer)
    show()
  }
}
