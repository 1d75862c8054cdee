// The figures of a fluid run as people and programs read them.
import { median } from './measure.ts'
import type { Arrival } from './fluid-arrival.ts'
import type { Goodput } from './fluid-goodput.ts'
import type { FluidResult, NodeResult } from './fluid-run.ts'
import type { FluidImage } from './fluid-site.ts'
import type { Moment } from './fluid-time-line.ts'

export interface FluidFacts {
  readonly image: FluidImage
  readonly goodput: Goodput
  readonly limitSeconds: number
  readonly nodeCount: number
  readonly bitsPerSecond: number
  readonly arrival: Arrival
}

export interface FluidSummary {
  /** Multiples of the fluid limit, by each node's clock. */
  readonly p50: number
  readonly p99: number
  readonly last: number
  /** The same with the start of the processes added. */
  readonly p50FromProcessStart: number
  readonly lastFromProcessStart: number
  readonly seederBytesPerImageByte: number
  readonly wastedBytesPerImageByte: number
  readonly startUpSeconds: number
  readonly nodeCpuSeconds: number
  readonly nodePeakRssBytes: number
  readonly serverCpuSeconds: number
  readonly serverPeakRssBytes: number
  /** Of this machine's processors on average: the lower, the less they count in the result. */
  readonly busyShare: number
}

/** The value that `share` of all values do not exceed (nearest rank). */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? NaN
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}

export function summarise(result: FluidResult, facts: FluidFacts): FluidSummary {
  const { nodes, server } = result
  const { packBytes } = facts.image
  const multiples = nodes.map(({ seconds }) => seconds / facts.limitSeconds)
  const whole = nodes.map((node) => (node.seconds + node.startUpSeconds) / facts.limitSeconds)
  const wastedBytes = nodes.reduce((sum, node) => sum + node.wastedBytes, 0)
  return {
    p50: percentile(multiples, 0.5),
    p99: percentile(multiples, 0.99),
    last: Math.max(...multiples),
    p50FromProcessStart: percentile(whole, 0.5),
    lastFromProcessStart: Math.max(...whole),
    seederBytesPerImageByte: server.uploadedBytes / packBytes,
    wastedBytesPerImageByte: wastedBytes / packBytes,
    startUpSeconds: median(nodes.map((node) => node.startUpSeconds)),
    nodeCpuSeconds: median(nodes.map((node) => node.cpuSeconds)),
    nodePeakRssBytes: Math.max(...nodes.map((node) => node.peakRssBytes)),
    serverCpuSeconds: server.cpuSeconds,
    serverPeakRssBytes: server.peakRssBytes,
    busyShare: mean(result.timeLine.map(({ busyShare }) => busyShare)),
  }
}

/** One line per figure, one column per round. */
export function fluidTable(summaries: readonly FluidSummary[], facts: FluidFacts): string[][] {
  const { image, goodput, nodeCount, bitsPerSecond, arrival, limitSeconds } = facts
  const mega = (value: number) => (value / 1e6).toFixed(3)
  const mib = (value: number) => `${(value / 2 ** 20).toFixed(0)} MiB`
  const link = `${mega(goodput.bytesPerSecond)} MB/s of ${mega(bitsPerSecond)} Mbit/s`
  const title = `${nodeCount} nodes (${arrival}), ${mib(image.packBytes)} in ${image.pieceCount} pieces`
  const figures: readonly (readonly [string, (summary: FluidSummary) => string])[] = [
    ['p50 / limit', ({ p50 }) => p50.toFixed(3)],
    ['p99 / limit', ({ p99 }) => p99.toFixed(3)],
    ['last / limit', ({ last }) => last.toFixed(3)],
    ['p50 / limit, with process start', (s) => s.p50FromProcessStart.toFixed(3)],
    ['last / limit, with process start', (s) => s.lastFromProcessStart.toFixed(3)],
    ['process start, seconds', (s) => s.startUpSeconds.toFixed(2)],
    ['seeder bytes / image', (s) => s.seederBytesPerImageByte.toFixed(3)],
    ['wasted bytes of all / image', (s) => s.wastedBytesPerImageByte.toFixed(3)],
    ['CPU seconds of a node', (s) => s.nodeCpuSeconds.toFixed(2)],
    ['peak RSS of a node', (s) => mib(s.nodePeakRssBytes)],
    ['CPU seconds of the server', (s) => s.serverCpuSeconds.toFixed(2)],
    ['peak RSS of the server', (s) => mib(s.serverPeakRssBytes)],
    ["this machine's processors busy", (s) => `${Math.round(100 * s.busyShare)} %`],
  ]
  return [
    [title, ...summaries.map((_, index) => `round ${index + 1}`)],
    [`limit ${limitSeconds.toFixed(2)} s at ${link}`, ...summaries.map(() => '')],
    ...figures.map(([name, format]) => [name, ...summaries.map(format)]),
  ]
}

/** Above the lines of `formatMoment`. */
export const MOMENT_HEADER =
  '     s  server up   nodes up (least)  nodes down (least)  done least  median   most  complete  CPU'

/** One line: use of links in percent of their goodput, progress in percent of the pack, CPU in percent. */
export function formatMoment(moment: Moment, facts: FluidFacts): string {
  const { bytesPerSecond } = facts.goodput
  const percent = (value: number, width: number) => `${Math.round(100 * value)}`.padStart(width)
  const share = (rate: number, width: number) => percent(rate / bytesPerSecond, width)
  const { sentBytesPerSecond: up, receivedBytesPerSecond: down } = moment
  const done = moment.doneBytes.map((bytes) => bytes / facts.image.packBytes)
  return (
    moment.atSeconds.toFixed(1).padStart(6) +
    share(moment.serverSentBytesPerSecond, 11) +
    share(mean(up), 11) +
    ` (${share(Math.min(...up), 3)})` +
    share(mean(down), 13) +
    ` (${share(Math.min(...down), 3)})` +
    percent(Math.min(...done), 14) +
    percent(median(done), 8) +
    percent(Math.max(...done), 7) +
    String(moment.completeNodes).padStart(10) +
    percent(moment.busyShare, 5)
  )
}

/** A table of all nodes, in several lines. */
export function formatNodes(result: FluidResult, facts: FluidFacts): string {
  const mib = (value: number) => (value / 2 ** 20).toFixed(0)
  const phase = (node: NodeResult, name: string) => node.phaseSeconds[name]?.toFixed(1) ?? ''
  const header = [
    ...['node', 'seconds', '/ limit', 'from server', 'peers', 'wasted', 'sent', 'received MiB'],
    ...['writing at', 'finishing at', 'CPU s', 'RSS MiB'],
  ]
  const rows = result.nodes.map((node) => [
    ...[node.name, node.seconds.toFixed(2), (node.seconds / facts.limitSeconds).toFixed(3)],
    ...[mib(node.fromServerBytes), mib(node.fromPeersBytes), mib(node.wastedBytes)],
    ...[mib(node.sentBytes), mib(node.receivedBytes)],
    ...[phase(node, 'writing'), phase(node, 'finishing')],
    ...[node.cpuSeconds.toFixed(2), mib(node.peakRssBytes)],
  ])
  const widths = header.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)),
  )
  return [header, ...rows]
    .map((row) => row.map((cell, column) => cell.padStart(widths[column] ?? 0)).join('  '))
    .join('\n')
}
