// The start of a fluid run. The clock of the nodes that come first starts at one moment for all of them:
// their processes are up, have asked the tracker for peers and are at rest, and the server, stopped until
// then, begins to answer. So the time that one machine needs to start many processes, each of which
// would have a machine of its own, is not taken for distribution. The clock of a later node starts
// when it has asked for peers.
import { setTimeout as delay } from 'node:timers/promises'
import * as lab from '../lab/lab.ts'
import { startFluidNode, type FluidNode } from './fluid-node.ts'
import type { FluidSite } from './fluid-site.ts'
import { readProcessAccount } from './process-account.ts'

/** The phase that si-deploy is in once it asks for peers. */
export const ASKED = 'reading manifest'

const START_DEADLINE_MS = 120_000

/** Processes are at rest when each second costs them less than this; their timers cost a part of it. */
const RESTING_CPU_SHARE = 0.02
const REST_MS = 500

export interface StartOptions {
  readonly nodeNames: readonly string[]
  /** For each node, seconds after the first. */
  readonly arrivalSeconds: readonly number[]
  readonly server: lab.LabProgram
  /** Filled as they start. */
  readonly nodes: FluidNode[]
}

export interface Start {
  /** When the clock of the first nodes started. */
  readonly commonMs: number
  /** Settles when the later nodes have been started, too. */
  readonly starting: Promise<void>
}

export async function startNodes(site: FluidSite, options: StartOptions): Promise<Start> {
  const { nodeNames, arrivalSeconds, server, nodes } = options
  const { signal } = site.scope
  const arrivals = nodeNames.map((name, index) => ({ name, seconds: arrivalSeconds[index] ?? 0 }))
  process.kill(server.pid, 'SIGSTOP')
  try {
    for (const { name, seconds } of arrivals) {
      if (seconds === 0) nodes.push(await startFluidNode(site, name))
    }
    await waitUntilUp(site.scope, nodes)
  } finally {
    process.kill(server.pid, 'SIGCONT')
  }
  const commonMs = performance.now()
  const startLater = async () => {
    for (const { name, seconds } of arrivals) {
      if (seconds === 0) continue
      await delay(Math.max(0, commonMs + seconds * 1000 - performance.now()), undefined, { signal })
      nodes.push(await startFluidNode(site, name))
    }
  }
  const starting = startLater()
  starting.catch(() => {}) // awaited by the caller, once its time line runs
  return { commonMs, starting }
}

async function waitUntilUp(scope: lab.Scope, nodes: readonly FluidNode[]): Promise<void> {
  const cpuSeconds = async () => {
    const accounts = await Promise.all(nodes.map(({ program }) => readProcessAccount(program.pid)))
    return accounts.reduce((sum, account) => sum + account.cpuSeconds, 0)
  }
  const mostCpuSeconds = (nodes.length * RESTING_CPU_SHARE * REST_MS) / 1000
  const areAtRest = async () => {
    for (const { failure } of nodes) if (failure !== undefined) throw failure
    if (!nodes.every(({ phaseMs }) => phaseMs.has(ASKED))) return false
    const before = await cpuSeconds()
    await delay(REST_MS, undefined, { signal: scope.signal })
    return (await cpuSeconds()) - before <= mostCpuSeconds
  }
  const options = { deadlineMs: START_DEADLINE_MS, signal: scope.signal }
  await lab.waitFor('the start of the first nodes', areAtRest, options)
}
