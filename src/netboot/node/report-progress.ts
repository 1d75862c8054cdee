// Progress of a deployment for the server. Invariant: it hears of every phase, and between phases not more often than it wants.
import type { Progress, ProgressUpdate } from '../../core/core.ts'
import type { Reporter } from './reporter.ts'

const REPORT_INTERVAL_MS = 5000

/** Progress that the server hears of, too: each new phase, each step of one that counts nothing, and every five seconds. */
export function reportingProgress(
  progress: Progress,
  reporter: Reporter,
  onPhase: (phase: string) => void = () => {},
): Progress {
  let step = ''
  let sentMs = 0
  return {
    note: (text) => progress.note(text),
    update(update) {
      progress.update(update)
      onPhase(update.phase)
      const nowMs = performance.now()
      const { phase, totalBytes, detail = '' } = update
      const now = totalBytes === undefined ? `${phase}, ${detail}` : phase
      if (now === step && nowMs - sentMs < REPORT_INTERVAL_MS) return
      step = now
      sentMs = nowMs
      reporter.report(toReport(update))
    },
  }
}

function toReport({ phase, doneBytes, totalBytes, detail = '' }: ProgressUpdate) {
  const isKnown = totalBytes !== undefined && totalBytes > 0
  const percent = isKnown ? Math.min(99, Math.floor((100 * doneBytes) / totalBytes)) : null
  return { phase, percent, message: detail }
}
