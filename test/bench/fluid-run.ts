// One round of a fluid run: nodes are started, listened to until all are complete, measured, stopped.
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import * as lab from '../lab/lab.ts'
import { startFluidNode, type FluidNode, type NodeReport } from './fluid-node.ts'
import type { FluidSite } from './fluid-site.ts'
import { ASKED, startNodes } from './fluid-start.ts'
import { createTimeLine, type Moment } from './fluid-time-line.ts'
import { SI } from './golden-tree.ts'
import { readProcessAccount, type ProcessAccount } from './process-account.ts'

export interface FluidRunOptions {
  readonly nodeNames: readonly string[]
  /** For each node, seconds after the first. */
  readonly arrivalSeconds: readonly number[]
  readonly limitSeconds: number
  readonly onMoment: (moment: Moment) => void
}

export interface NodeResult extends NodeReport, ProcessAccount {
  readonly name: string
  /** From its clock's start to its report; see fluid-start.ts. */
  readonly seconds: number
  /** From the start of the process until it asked for peers. */
  readonly startUpSeconds: number
  /** By its clock, when it began each phase. */
  readonly phaseSeconds: Readonly<Record<string, number>>
  /** By the cable. */
  readonly sentBytes: number
  readonly receivedBytes: number
}

export interface FluidResult {
  readonly nodes: readonly NodeResult[]
  readonly server: ProcessAccount & { readonly uploadedBytes: number; readonly sentBytes: number }
  readonly timeLine: readonly Moment[]
}

/** A swarm that needs more than this many fluid limits hangs. */
const PATIENCE = 20

/** Deploys once where nothing is shaped, so that no run has to compile the program first. */
export async function warmUp(site: FluidSite): Promise<void> {
  const server = await startServer(site)
  const node = await startFluidNode(site, 'server')
  await waitForAll(site.scope, [node], { nodeNames: ['server'], limitSeconds: 0 })
  await stopAll(site, [node], server)
}

async function startServer({ scope, network, repository }: FluidSite): Promise<lab.LabProgram> {
  const args = ['server', '--repository', repository]
  const server = lab.startOnHost(scope, network('server'), { program: SI, args })
  await lab.waitForHttp(scope, network('server'), 'http://server:8080/health', server)
  return server
}

async function stopAll(
  { directory }: FluidSite,
  nodes: readonly FluidNode[],
  server: lab.LabProgram,
): Promise<void> {
  await Promise.all([...nodes.map(({ program }) => program.stop()), server.stop()])
  for (const { name } of nodes) await rm(join(directory, name), { recursive: true })
}

export async function runFluid(site: FluidSite, options: FluidRunOptions): Promise<FluidResult> {
  const { scope } = site
  const server = await startServer(site)
  const before = await lab.readCables(scope)
  const nodes: FluidNode[] = []
  const { commonMs, starting } = await startNodes(site, { ...options, server, nodes })
  const timeLine = createTimeLine(scope, { startMs: commonMs, nodes, ...options })
  try {
    await Promise.all([starting, waitForAll(scope, nodes, options)])
  } finally {
    await timeLine.stop()
  }
  const results: NodeResult[] = []
  const after = await lab.readCables(scope)
  const sent = (name: string) => carried(before, after, name)
  for (const [index, node] of nodes.entries()) {
    const isFirst = options.arrivalSeconds[index] === 0
    const startMs = isFirst ? commonMs : (node.phaseMs.get(ASKED) ?? NaN)
    const account = await readProcessAccount(node.program.pid)
    results.push(resultOf(node, startMs, { ...account, ...sent(node.name) }))
  }
  const uploadedBytes = await readUploadedBytes(site)
  const serverAccount = await readProcessAccount(server.pid)
  await stopAll(site, nodes, server)
  const { sentBytes } = sent('server')
  return {
    nodes: results,
    server: { ...serverAccount, uploadedBytes, sentBytes },
    timeLine: timeLine.moments,
  }
}

async function waitForAll(
  scope: lab.Scope,
  nodes: readonly FluidNode[],
  { nodeNames, limitSeconds }: Pick<FluidRunOptions, 'nodeNames' | 'limitSeconds'>,
): Promise<void> {
  const areComplete = () => {
    for (const { failure } of nodes) if (failure !== undefined) throw failure
    const completeNodes = nodes.filter(({ report }) => report !== undefined)
    return completeNodes.length === nodeNames.length
  }
  await lab.waitFor('the completion of all nodes', areComplete, {
    ...{ deadlineMs: limitSeconds * PATIENCE * 1000 + 60_000, signal: scope.signal },
  })
}

function resultOf(
  node: FluidNode,
  startMs: number,
  account: ProcessAccount & lab.CableCounters,
): NodeResult {
  const { name, report, completeMs, phaseMs, spawnedMs } = node
  if (report === undefined || completeMs === undefined) throw new Error(`${name} has no report`)
  return {
    ...report,
    ...account,
    name,
    seconds: (completeMs - startMs) / 1000,
    startUpSeconds: ((phaseMs.get(ASKED) ?? NaN) - spawnedMs) / 1000,
    phaseSeconds: Object.fromEntries(
      [...phaseMs].map(([phase, atMs]) => [phase, (atMs - startMs) / 1000]),
    ),
  }
}

function carried(
  before: ReadonlyMap<string, lab.CableCounters>,
  after: ReadonlyMap<string, lab.CableCounters>,
  name: string,
): lab.CableCounters {
  const [from, to] = [before.get(name), after.get(name)]
  if (from === undefined || to === undefined) throw new Error(`${name} has no cable`)
  return {
    sentBytes: to.sentBytes - from.sentBytes,
    receivedBytes: to.receivedBytes - from.receivedBytes,
  }
}

const FETCH = `fetch(process.argv[1]).then((r) => r.text()).then((text) => console.log(text))`

async function readUploadedBytes({ scope, network }: FluidSite): Promise<number> {
  const args = ['--eval', FETCH, 'http://server:8080/images']
  const text = await lab.runOnHost(scope, network('server'), { program: process.execPath, args })
  const images = JSON.parse(text) as readonly { readonly uploadedBytes: number }[]
  return images.reduce((sum, { uploadedBytes }) => sum + uploadedBytes, 0)
}
