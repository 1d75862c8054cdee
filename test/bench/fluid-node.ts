// One si-deploy of a fluid run: started on its host, listened to, and settled by its own report.
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import * as lab from '../lab/lab.ts'
import type { FluidSite } from './fluid-site.ts'
import { SI } from './golden-tree.ts'

const TRACKER_URL = 'http://server:8080/announce'

/** What si-deploy --json says at its end. */
export interface NodeReport {
  readonly durationMs: number
  readonly fromServerBytes: number
  readonly fromPeersBytes: number
  readonly wastedBytes: number
  readonly badPieces: number
}

export interface FluidNode {
  readonly name: string
  readonly program: lab.LabProgram
  readonly spawnedMs: number
  /** When it said first what it is doing, by phase: `reading torrent`, `reading manifest`, … */
  readonly phaseMs: Map<string, number>
  /** Of the pack, as it said last. */
  doneBytes: number
  /** When the report came. */
  completeMs: number | undefined
  report: NodeReport | undefined
  /** It has ended, which it should not before it is stopped. */
  failure: Error | undefined
}

interface NodeEvent {
  readonly type: string
  readonly phase?: string
  readonly doneBytes?: number
}

export async function startFluidNode(site: FluidSite, name: string): Promise<FluidNode> {
  const target = join(site.directory, name)
  await mkdir(target)
  const torrent = join(site.repository, 'images/noise/latest/image.torrent')
  const from = ['--torrent', torrent, '--tracker', TRACKER_URL]
  const args = [
    'deploy',
    ...from,
    '--root',
    target,
    '--seed-for',
    'forever',
    '--json',
    '--allow-unsigned',
  ]
  const spawnedMs = performance.now()
  const program = lab.startOnHost(site.scope, site.network(name), {
    program: SI,
    args,
    onLine: (line) => hear(node, line),
  })
  const start = { phaseMs: new Map<string, number>(), doneBytes: 0 }
  const node: FluidNode = {
    ...{ name, program, spawnedMs, ...start, completeMs: undefined },
    ...{ report: undefined, failure: undefined },
  }
  program.exited.then(
    (code) => {
      const words = program.lastWords()
      node.failure = new Error(`si-deploy on ${name} ended with status ${code}: ${words}`)
    },
    () => {}, // interrupted
  )
  return node
}

function hear(node: FluidNode, line: string): void {
  const nowMs = performance.now()
  const event = JSON.parse(line) as NodeEvent
  if (event.phase !== undefined && !node.phaseMs.has(event.phase)) {
    node.phaseMs.set(event.phase, nowMs)
  }
  if (event.phase === 'writing') node.doneBytes = event.doneBytes ?? 0
  if (event.type !== 'report') return
  node.completeMs = nowMs
  node.report = JSON.parse(line) as NodeReport
}
