// Progress as people and programs see it: one redrawn line on a terminal, a line every 10 s otherwise,
// JSON lines every second with --json. Notes always get a line of their own.
import {
  formatDuration,
  formatRate,
  formatSize,
  systemClock,
  type Clock,
  type Progress,
  type ProgressUpdate,
} from '../core/core.ts'
import { writeJson, type Io } from './io.ts'

const TTY_INTERVAL_MS = 200
const LINE_INTERVAL_MS = 10_000
const JSON_INTERVAL_MS = 1000
/** Rates are averaged over this window: short enough to follow a change, long enough to be read. */
const RATE_WINDOW_MS = 8000

export interface CommandProgress extends Progress {
  /** Clears the progress line; nothing is drawn afterwards. */
  end(): void
}

export function createCommandProgress(
  io: Io,
  options: { readonly command: string; readonly json: boolean; readonly clock?: Clock },
): CommandProgress {
  const clock = options.clock ?? systemClock
  const isTty = io.stderr.isTTY === true && !options.json
  const intervalMs = options.json ? JSON_INTERVAL_MS : isTty ? TTY_INTERVAL_MS : LINE_INTERVAL_MS
  const rate = createRateMeter()
  let lastDrawMs = clock.monotonicMs() - (isTty ? intervalMs : 0)
  let phase = ''
  let step: string | undefined
  let lineDrawn = false

  const clearLine = () => {
    if (lineDrawn) io.stderr.write('\r\x1b[K')
    lineDrawn = false
  }
  const draw = (update: ProgressUpdate, bytesPerSecond: number) => {
    if (options.json) {
      writeJson(io, { type: 'progress', ...update, bytesPerSecond: Math.round(bytesPerSecond) })
    } else if (isTty) {
      io.stderr.write(`\r${formatLine(update, bytesPerSecond, io.stderr.columns ?? 80)}\x1b[K`)
      lineDrawn = true
    } else {
      io.stderr.write(`${options.command}: ${formatProgress(update, bytesPerSecond)}\n`)
    }
  }
  return {
    update(update) {
      const nowMs = clock.monotonicMs()
      const isNewPhase = update.phase !== phase
      if (isNewPhase) {
        rate.reset()
        phase = update.phase
      }
      rate.add(nowMs, update.doneBytes)
      // Where nothing is counted the remark names a step: each is shown, for it may take long.
      const isUncounted = update.totalBytes === undefined && update.doneBytes === 0
      const isNewStep = isUncounted && update.detail !== step
      step = update.detail
      if (!isNewPhase && !isNewStep && nowMs - lastDrawMs < intervalMs) return
      lastDrawMs = nowMs
      draw(update, rate.bytesPerSecond())
    },
    note(message) {
      clearLine()
      io.stderr.write(`${options.command}: ${message}\n`)
    },
    end: clearLine,
  }
}

/** `writing 120.0 MiB of 1.2 GiB (10 %), 80.0 MiB/s, 14 s left, 4 peers` */
export function formatProgress(update: ProgressUpdate, bytesPerSecond: number): string {
  const { phase, doneBytes, totalBytes, detail } = update
  const parts: string[] = []
  if (totalBytes === undefined) {
    parts.push(doneBytes > 0 ? `${phase} ${formatSize(doneBytes)}` : phase)
  } else {
    // An estimated total can be too small; 100 % is for the end alone.
    const percent = totalBytes > 0 ? Math.min(99, Math.floor((100 * doneBytes) / totalBytes)) : 0
    const isDone = doneBytes === totalBytes
    parts.push(
      `${phase} ${formatSize(doneBytes)} of ${formatSize(totalBytes)} (${isDone ? 100 : percent} %)`,
    )
  }
  if (bytesPerSecond > 0) {
    parts.push(formatRate(bytesPerSecond))
    if (totalBytes !== undefined && totalBytes > doneBytes) {
      parts.push(`${formatDuration(((totalBytes - doneBytes) / bytesPerSecond) * 1000)} left`)
    }
  }
  if (detail !== undefined && detail !== '') parts.push(detail)
  return parts.join(', ')
}

function formatLine(update: ProgressUpdate, bytesPerSecond: number, columns: number): string {
  const text = formatProgress(update, bytesPerSecond)
  const barWidth = Math.min(30, columns - text.length - 4)
  if (update.totalBytes === undefined || update.totalBytes === 0 || barWidth < 8) {
    return text.slice(0, columns - 1)
  }
  const filled = Math.min(barWidth, Math.round((barWidth * update.doneBytes) / update.totalBytes))
  return `[${'#'.repeat(filled)}${'.'.repeat(barWidth - filled)}] ${text}`
}

/** Bytes per second over the last RATE_WINDOW_MS of samples. */
function createRateMeter() {
  let samples: { readonly atMs: number; readonly bytes: number }[] = []
  return {
    reset() {
      samples = []
    },
    add(atMs: number, bytes: number) {
      const last = samples.at(-1)
      if (last !== undefined && atMs - last.atMs < 100) return
      samples.push({ atMs, bytes })
      while (samples.length > 2 && atMs - (samples[0]?.atMs ?? atMs) > RATE_WINDOW_MS)
        samples.shift()
    },
    bytesPerSecond(): number {
      const first = samples[0]
      const last = samples.at(-1)
      if (first === undefined || last === undefined || last.atMs === first.atMs) return 0
      return Math.max(0, ((last.bytes - first.bytes) * 1000) / (last.atMs - first.atMs))
    },
  }
}
