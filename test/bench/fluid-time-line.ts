// What happens during a fluid run, second by second: how much of each link is in use and how far the
// nodes are. Costs one short program a second.
import { cpus } from 'node:os'
import * as lab from '../lab/lab.ts'
import type { FluidNode } from './fluid-node.ts'

export interface Moment {
  /** Since the common start. */
  readonly atSeconds: number
  /** During the time since the moment before, by the cables. */
  readonly serverSentBytesPerSecond: number
  /** One figure for each node that has started. */
  readonly sentBytesPerSecond: readonly number[]
  readonly receivedBytesPerSecond: readonly number[]
  /** Of the pack, as the nodes said last. */
  readonly doneBytes: readonly number[]
  readonly completeNodes: number
  /** Of all processors of this machine, whoever used them; near 1, it is they that are measured. */
  readonly busyShare: number
}

export interface TimeLine {
  readonly moments: readonly Moment[]
  /** Idempotent. */
  stop(): Promise<void>
}

const INTERVAL_MS = 1000

export function createTimeLine(
  scope: lab.Scope,
  options: {
    readonly startMs: number
    /** May grow. */
    readonly nodes: readonly FluidNode[]
    readonly onMoment: (moment: Moment) => void
  },
): TimeLine {
  const { startMs, nodes, onMoment } = options
  const moments: Moment[] = []
  let last: Reading | undefined
  let isStopped = false
  const look = async () => {
    const cables = await lab.readCables(scope)
    const reading = { atMs: performance.now(), cables, processors: readProcessors() }
    if (last !== undefined) {
      const moment = momentOf(last, reading, { startMs, nodes })
      moments.push(moment)
      onMoment(moment)
    }
    last = reading
  }
  let running = look().catch(() => {}) // interrupted
  const timer = setInterval(() => {
    running = running.then(() => (isStopped ? undefined : look())).catch(() => {})
  }, INTERVAL_MS)
  return {
    moments,
    async stop() {
      isStopped = true
      clearInterval(timer)
      await running
    },
  }
}

interface Reading {
  readonly atMs: number
  readonly cables: ReadonlyMap<string, lab.CableCounters>
  readonly processors: Processors
}

interface Processors {
  readonly totalMs: number
  readonly idleMs: number
}

/** Of all together, since boot. */
function readProcessors(): Processors {
  let [totalMs, idleMs] = [0, 0]
  for (const { times } of cpus()) {
    totalMs += times.user + times.nice + times.sys + times.idle + times.irq
    idleMs += times.idle
  }
  return { totalMs, idleMs }
}

function momentOf(
  from: Reading,
  to: Reading,
  { startMs, nodes }: { readonly startMs: number; readonly nodes: readonly FluidNode[] },
): Moment {
  const seconds = (to.atMs - from.atMs) / 1000
  const rate = (name: string, direction: keyof lab.CableCounters) =>
    ((to.cables.get(name)?.[direction] ?? 0) - (from.cables.get(name)?.[direction] ?? 0)) / seconds
  return {
    atSeconds: (to.atMs - startMs) / 1000,
    serverSentBytesPerSecond: rate('server', 'sentBytes'),
    sentBytesPerSecond: nodes.map(({ name }) => rate(name, 'sentBytes')),
    receivedBytesPerSecond: nodes.map(({ name }) => rate(name, 'receivedBytes')),
    doneBytes: nodes.map(({ doneBytes }) => doneBytes),
    busyShare: busyShare(from.processors, to.processors),
    completeNodes: nodes.filter(({ report }) => report !== undefined).length,
  }
}

function busyShare(from: Processors, to: Processors): number {
  return 1 - (to.idleMs - from.idleMs) / (to.totalMs - from.totalMs)
}
