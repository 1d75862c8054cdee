// What a simulated swarm does from second to second: how busy links are, how pieces spread. Shows where
// time is lost: at the start, in the middle, at the end.
import { type SimSwarm } from './sim-swarm.ts'

/** Shares of what the links could carry; those of nodes that are complete do not count as down. */
export const TIMELINE_HEAD =
  '      s  server up  nodes up  nodes down  complete  server/image  pieces out  rarest  median copies'

/** Calls back with one line for each `everyMs` of virtual time. */
export function startTimeline(
  swarm: SimSwarm,
  everyMs: number,
  onLine: (line: string) => void,
): void {
  let before = snapshot(swarm)
  const next = () => {
    const now = snapshot(swarm)
    onLine(formatMoment(swarm, { before, now, everyMs }))
    before = now
    if (!swarm.isComplete) swarm.time.schedule(everyMs, next)
  }
  swarm.time.schedule(everyMs, next)
}

interface Snapshot {
  readonly serverBytes: number
  readonly sentBytes: number
  readonly receivedBytes: number
  /** What the links of the nodes can carry. */
  readonly upBytesPerSecond: number
  /** Of those nodes that want something. */
  readonly downBytesPerSecond: number
}

function snapshot({ serverTraffic, nodes }: SimSwarm): Snapshot {
  const sums = { sentBytes: 0, receivedBytes: 0, upBytesPerSecond: 0, downBytesPerSecond: 0 }
  for (const node of nodes) {
    sums.sentBytes += node.traffic.sentBytes
    sums.receivedBytes += node.traffic.receivedBytes
    sums.upBytesPerSecond += node.upBytesPerSecond
    if (node.doneMs === undefined) sums.downBytesPerSecond += node.downBytesPerSecond
  }
  return { serverBytes: serverTraffic.sentBytes, ...sums }
}

function formatMoment(
  { nodes, options, copies, time }: SimSwarm,
  change: { readonly before: Snapshot; readonly now: Snapshot; readonly everyMs: number },
): string {
  const { before, now, everyMs } = change
  // Nodes come and end in between: counted as if they had been there all the time.
  const upRate = Math.max(before.upBytesPerSecond, now.upBytesPerSecond)
  const downRate = Math.max(before.downBytesPerSecond, now.downBytesPerSecond)
  const busy = (bytes: number, bytesPerSecond: number) =>
    percent(bytes / ((bytesPerSecond * everyMs) / 1000))
  const sorted = copies.toSorted()
  return [
    (time.monotonicMs() / 1000).toFixed(2).padStart(7),
    busy(now.serverBytes - before.serverBytes, options.serverBytesPerSecond).padStart(10),
    busy(now.sentBytes - before.sentBytes, upRate).padStart(9),
    busy(now.receivedBytes - before.receivedBytes, downRate).padStart(11),
    String(nodes.filter(({ doneMs }) => doneMs !== undefined).length).padStart(9),
    (now.serverBytes / (options.pieceCount * options.pieceLengthBytes)).toFixed(3).padStart(13),
    String(sorted.filter((count) => count > 0).length).padStart(11),
    String(sorted[0] ?? 0).padStart(7),
    String(sorted[sorted.length >> 1] ?? 0).padStart(14),
  ].join(' ')
}

function percent(part: number): string {
  return Number.isFinite(part) ? `${(100 * part).toFixed(1)} %` : '-'
}
