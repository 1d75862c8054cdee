// The commands in a network where things break: the image server dies, or comes only later.
import assert from 'node:assert/strict'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import * as lab from '../lab/lab.ts'
import { writeBulkContent } from '../lab/golden-content.ts'

const skip = process.getuid?.() === 0 || process.env['CI'] === 'true' ? false : 'needs root'
const SI = join(import.meta.dirname, '../../src/cli/si')
const DEADLINE_MS = 60_000
/** A connection to a port where nobody listens fails at once; this leaves time for several attempts. */
const ANNOUNCE_FAILS_MS = 2000

interface Report {
  readonly fromServerBytes: number
  readonly fromPeersBytes: number
  readonly packBytes: number
}

/** One si-deploy of the lab, and what it has said so far. */
interface Deployment {
  readonly program: lab.LabProgram
  readonly target: string
  /** What it was doing at its last word. */
  phase: string | undefined
  doneBytes: number
  report: Report | undefined
}

interface Site {
  readonly scope: lab.Scope
  readonly network: lab.Network
  readonly source: string
  readonly repository: string
}

/** A server and two nodes at 12 MB/s, and an image of 36 MB in the server's repository. */
async function makeSite(scope: lab.Scope): Promise<Site> {
  const hosts = ['server', 'node01', 'node02']
  const network = await lab.createNetwork(scope, { hosts, bitsPerSecond: 96e6 })
  const source = join(scope.directory, 'source')
  const repository = join(scope.directory, 'repository')
  await writeBulkContent(source)
  await lab.runOnHost(scope, network('server'), {
    program: SI,
    args: ['getimage', '--root', source, '--name', 'web', '--repository', repository],
  })
  return { scope, network, source, repository }
}

function startServer({ scope, network, repository }: Site): lab.LabProgram {
  const args = ['server', '--repository', repository]
  return lab.startOnHost(scope, network('server'), { program: SI, args })
}

async function startDeploy(
  { scope, network }: Site,
  host: string,
  args: readonly string[],
): Promise<Deployment> {
  const target = join(scope.directory, host)
  await mkdir(target)
  const program = lab.startOnHost(scope, network(host), {
    program: SI,
    args: ['deploy', '--root', target, '--seed-for', '5m', '--json', ...args],
    onLine: (line) => {
      const event = JSON.parse(line) as { type: string; phase?: string; doneBytes?: number }
      deployment.phase = event.phase
      if (event.phase === 'writing') deployment.doneBytes = event.doneBytes ?? 0
      if (event.type === 'report') deployment.report = JSON.parse(line) as Report
    },
  })
  const deployment: Deployment = {
    program,
    target,
    phase: undefined,
    doneBytes: 0,
    report: undefined,
  }
  return deployment
}

async function waitForReport(site: Site, deployment: Deployment): Promise<Report> {
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

describe('si-deploy', { skip }, () => {
  test('finishes when the server is killed while one full copy is in the swarm', async () => {
    await lab.withScope(async (scope) => {
      const site = await makeSite(scope)
      const server = startServer(site)
      await lab.waitForHttp(scope, site.network('node01'), 'http://server:8080/health', server)
      const torrent = ['--torrent', 'http://server:8080/images/web/img.torrent']
      const first = await startDeploy(site, 'node01', torrent)
      await waitForReport(site, first)
      const second = await startDeploy(site, 'node02', torrent)
      await lab.waitFor('a first piece', () => second.doneBytes > 0, { deadlineMs: DEADLINE_MS })
      assert.equal(second.report, undefined, 'node02 was too quick for this test')
      await server.stop('SIGKILL')
      const report = await waitForReport(site, second)
      assert.ok(report.fromPeersBytes > 0)
      assert.deepEqual(await lab.compareTrees(site.source, second.target, { excludes: [] }), [])
    })
  })

  test('waits for a tracker that is down at the start and comes later', async () => {
    await lab.withScope(async (scope) => {
      const site = await makeSite(scope)
      const torrent = join(site.repository, 'images/web/latest/image.torrent')
      const tracker = ['--tracker', 'http://server:8080/announce']
      const node = await startDeploy(site, 'node01', ['--torrent', torrent, ...tracker])
      // Announcing begins with the first thing it wants, which is the manifest.
      const isWaiting = () => node.phase === 'reading manifest'
      await lab.waitFor('its first wish', isWaiting, { deadlineMs: DEADLINE_MS })
      await delay(ANNOUNCE_FAILS_MS)
      assert.equal(node.report, undefined)
      startServer(site)
      const report = await waitForReport(site, node)
      assert.ok(report.fromServerBytes >= report.packBytes)
      assert.deepEqual(await lab.compareTrees(site.source, node.target, { excludes: [] }), [])
    })
  })
})
