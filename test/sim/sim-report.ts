// The figures of one simulated deployment. Times are multiples of the fluid limit, the least time that
// any protocol needs on these links; each node's time runs from its own coming.
import { type SimNode, type SimSwarm } from './sim-swarm.ts'

export interface SimReport {
  readonly nodes: number
  readonly complete: number
  /** max(S/U, S/d_min, N S/(U + sum of u)); with racks not less than S over a rack's link. */
  readonly fluidSeconds: number
  /** Multiples of the fluid limit; Infinity where too few nodes are complete. */
  readonly p50: number
  readonly p99: number
  readonly last: number
  readonly lastSeconds: number
  /** What the image server sent, in images. */
  readonly serverCopies: number
  /** Payload that went from rack to rack, in images. */
  readonly crossRackCopies: number
  /** Payload that nobody needed, of all payload. */
  readonly wastedShare: number
  readonly events: number
  /** The same for nodes of each speed, fastest first, against the time of one copy over their link. */
  readonly kinds: readonly KindReport[]
}

export interface KindReport {
  readonly downBytesPerSecond: number
  readonly nodes: number
  /** max(S/U, S/d) */
  readonly copySeconds: number
  readonly p50: number
  readonly last: number
}

export function reportOf(swarm: SimSwarm): SimReport {
  const { options, nodes, fluidSeconds, sizeBytes } = swarm
  const seconds = secondsOf(nodes)
  const stats = nodes.map(({ torrent }) => torrent.stats())
  const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0)
  const downloaded = sum(stats.map(({ downloadedBytes }) => downloadedBytes))
  const wasted = sum(stats.map(({ wastedBytes }) => wastedBytes))
  return {
    nodes: options.nodes.length,
    complete: nodes.filter(({ doneMs }) => doneMs !== undefined).length,
    fluidSeconds,
    p50: quantile(seconds, 0.5) / fluidSeconds,
    p99: quantile(seconds, 0.99) / fluidSeconds,
    last: quantile(seconds, 1) / fluidSeconds,
    lastSeconds: quantile(seconds, 1),
    serverCopies: swarm.serverTraffic.sentBytes / sizeBytes,
    crossRackCopies: swarm.network.crossRackBytes / sizeBytes,
    wastedShare: downloaded === 0 ? 0 : wasted / downloaded,
    events: swarm.time.events,
    kinds: kindsOf(swarm),
  }
}

function kindsOf({ nodes, options, sizeBytes }: SimSwarm): KindReport[] {
  const kinds = [...Map.groupBy(nodes, ({ downBytesPerSecond }) => downBytesPerSecond)]
  return kinds
    .toSorted(([a], [b]) => b - a)
    .map(([downBytesPerSecond, ofKind]) => {
      const seconds = secondsOf(ofKind)
      const copySeconds = sizeBytes / Math.min(options.serverBytesPerSecond, downBytesPerSecond)
      return {
        ...{ downBytesPerSecond, nodes: ofKind.length, copySeconds },
        p50: quantile(seconds, 0.5) / copySeconds,
        last: quantile(seconds, 1) / copySeconds,
      }
    })
}

/** How long each node took, ascending; Infinity for those that are not complete. */
function secondsOf(nodes: readonly SimNode[]): number[] {
  return nodes
    .map(({ doneMs, startMs }) => ((doneMs ?? Infinity) - startMs) / 1000)
    .sort((a, b) => a - b)
}

/** The least value that so large a part of the sorted values does not exceed. */
function quantile(sorted: readonly number[], part: number): number {
  return sorted[Math.max(0, Math.ceil(part * sorted.length) - 1)] ?? 0
}
