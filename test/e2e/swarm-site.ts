// A server and some nodes in a network of their own, and an image of 36 MB in the server's repository:
// the place of end-to-end tests of many commands at once. Everything goes away with the scope.
import assert from 'node:assert/strict'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { writeBulkContent } from '../lab/golden-content.ts'
import * as lab from '../lab/lab.ts'

export const SI = join(import.meta.dirname, '../../src/cli/si')
export const DEADLINE_MS = 60_000
const SERVER_URL = 'http://server:8080'
/** As the server gives it out. */
export const TORRENT = ['--torrent', `${SERVER_URL}/images/web/img.torrent`]

export interface Report {
  readonly fromServerBytes: number
  readonly fromPeersBytes: number
  readonly packBytes: number
  readonly resumedPieces: number
}

/** One si-deploy of the lab, and what it has said so far. */
export interface Deployment {
  readonly program: lab.LabProgram
  readonly target: string
  /** What it was doing at its last word. */
  phase: string | undefined
  doneBytes: number
  report: Report | undefined
}

export interface Site {
  readonly scope: lab.Scope
  readonly network: lab.Network
  readonly source: string
  readonly repository: string
  /** Options that make commands sign and check. */
  readonly pki: readonly string[]
  /** Below it each node's target has the node's name. */
  readonly directory: string
}

export interface SiteOptions {
  readonly nodes: readonly string[]
  readonly bitsPerSecond: number
  /** Where source, repository and targets are; the scope's own folder when left out. */
  readonly directory?: string
}

export async function makeSite(scope: lab.Scope, options: SiteOptions): Promise<Site> {
  const { nodes, bitsPerSecond, directory = scope.directory } = options
  const network = await lab.createNetwork(scope, { hosts: ['server', ...nodes], bitsPerSecond })
  const source = join(directory, 'source')
  const repository = join(directory, 'repository')
  await writeBulkContent(source)
  const pki = await lab.makeCertificates(join(scope.directory, 'pki'))
  await lab.runOnHost(scope, network('server'), {
    program: SI,
    args: ['getimage', '--root', source, '--name', 'web', '--repository', repository, ...pki],
  })
  return { scope, network, source, repository, pki, directory }
}

export function startServer({ scope, network, repository, pki }: Site): lab.LabProgram {
  const args = ['server', '--repository', repository, ...pki]
  return lab.startOnHost(scope, network('server'), { program: SI, args })
}

export async function waitForServer(site: Site, server: lab.LabProgram): Promise<void> {
  await lab.waitForHttp(site.scope, site.network('server'), `${SERVER_URL}/health`, server)
}

/** Starts si-deploy on a host, or starts it again there. */
export async function startDeploy(
  { scope, network, pki, directory }: Site,
  host: string,
  args: readonly string[],
): Promise<Deployment> {
  const target = join(directory, host)
  await mkdir(target, { recursive: true })
  const program = lab.startOnHost(scope, network(host), {
    program: SI,
    args: ['deploy', '--root', target, '--seed-for', '5m', '--json', ...pki, ...args],
    onLine: (line) => {
      const event = JSON.parse(line) as { type: string; phase?: string; doneBytes?: number }
      deployment.phase = event.phase
      if (event.phase === 'writing') deployment.doneBytes = event.doneBytes ?? 0
      if (event.type === 'report') deployment.report = JSON.parse(line) as Report
    },
  })
  const deployment: Deployment = {
    ...{ program, target, phase: undefined, doneBytes: 0, report: undefined },
  }
  return deployment
}

export async function waitForReport(site: Site, deployment: Deployment): Promise<Report> {
  const { program } = deployment
  let isOver = false
  program.exited.then(
    () => (isOver = true),
    () => {},
  )
  const options = { deadlineMs: DEADLINE_MS, signal: site.scope.signal }
  await lab.waitFor('a finished tree', () => isOver || deployment.report !== undefined, options)
  assert.ok(deployment.report !== undefined, program.lastWords())
  return deployment.report
}
