// What a simulated swarm does from second to second: how busy links are, how pieces spread. Shows where
// time is lost: at the start, in the middle, at the end.
import { type SimSwarm } from './sim-swarm.ts'

export const TIMELINE_HEAD =
  '      s  server up  nodes up  nodes down  complete  pieces out  rarest  median copies'

/** Calls back with one line for each `everyMs` of virtual time. */
export function startTimeline(
  swarm: SimSwarm,
  everyMs: number,
  onLine: (line: string) => void,
): void {
  let before = snapshot(swarm)
  const next = () => {
    const now = snapshot(swarm)
    onLine(line(swarm, { before, now, everyMs }))
    before = now
    if (!swarm.isComplete) swarm.time.schedule(everyMs, next)
  }
  swarm.time.schedule(everyMs, next)
}

interface Snapshot {
  readonly serverBytes: number
  readonly sentBytes: number
  readonly receivedBytes: number
}

function snapshot({ serverTraffic, nodes }: SimSwarm): Snapshot {
  let [sentBytes, receivedBytes] = [0, 0]
  for (const { traffic } of nodes) {
    sentBytes += traffic.sentBytes
    receivedBytes += traffic.receivedBytes
  }
  return { serverBytes: serverTraffic.sentBytes, sentBytes, receivedBytes }
}

function line(
  swarm: SimSwarm,
  change: { readonly before: Snapshot; readonly now: Snapshot; readonly everyMs: number },
): string {
  const { nodes, options, copies, time } = swarm
  const { before, now, everyMs } = change
  let [upRate, downRate, complete] = [0, 0, 0]
  for (const node of nodes) {
    upRate += node.upBytesPerSecond
    if (node.doneMs === undefined) downRate += node.downBytesPerSecond
    else complete++
  }
  const busy = (bytes: number, bytesPerSecond: number) =>
    percent(bytes / ((bytesPerSecond * everyMs) / 1000))
  const sorted = copies.toSorted()
  return [
    (time.monotonicMs() / 1000).toFixed(2).padStart(7),
    busy(now.serverBytes - before.serverBytes, options.serverBytesPerSecond).padStart(10),
    busy(now.sentBytes - before.sentBytes, upRate).padStart(9),
    busy(now.receivedBytes - before.receivedBytes, downRate).padStart(11),
    String(complete).padStart(9),
    String(sorted.filter((count) => count > 0).length).padStart(11),
    String(sorted[0] ?? 0).padStart(7),
    String(sorted[sorted.length >> 1] ?? 0).padStart(14),
  ].join(' ')
}

function percent(part: number): string {
  return Number.isFinite(part) ? `${(100 * part).toFixed(1)} %` : '-'
}
