// A repository on the grid file system, as a site has it: one host keeps the files, two image servers mount them. The
// host of the files is killed in the middle of a capture and in the middle of a deployment, and comes back.
import assert from 'node:assert/strict'
import { mkdir, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { run } from '../../src/host/host.ts'
import { writeBulkContent } from '../lab/golden-content.ts'
import { createGridSite, type GridSite } from '../lab/grid-site.ts'
import * as lab from '../lab/lab.ts'
import { onCableOf } from '../lab/network.ts'
import { startInLab, type LabProgram } from '../lab/lab-program.ts'

const SI = join(import.meta.dirname, '../../src/cli/si')
const skip = process.getuid?.() === 0 || process.env['CI'] === 'true' ? false : 'needs root'
/** 16 MB/s: the capture, and each deployment, of 36 MB takes a few seconds. */
const BITS_PER_SECOND = 128e6
const MIB = 2 ** 20
const DEADLINE_MS = 90_000
const SERVERS = ['server1', 'server2'] as const
const NODES = ['node1', 'node2'] as const

interface Place {
  readonly scope: lab.Scope
  readonly network: lab.Network
  readonly site: GridSite
}

/** Starts a command on a host of the network that sees the mounts of this machine. */
function startSi(
  { scope, network }: Place,
  host: string,
  args: readonly string[],
  onLine: (line: string) => void = () => {},
): LabProgram {
  const [program, own] = onCableOf(network(host), SI, args)
  return startInLab(scope, host, { program, args: own, onLine })
}

/** The server of the files dies as soon as `isInTheMiddle`, and comes back. */
async function killInTheMiddle(
  { scope, site }: Place,
  what: string,
  isInTheMiddle: () => boolean | Promise<boolean>,
): Promise<void> {
  const wait = { deadlineMs: DEADLINE_MS, signal: scope.signal }
  await lab.waitFor(`the middle of ${what}`, async () => isInTheMiddle(), wait)
  await site.server().stop('SIGKILL')
  await site.restart()
}

async function bytesBelow(directory: string): Promise<number> {
  const names = await readdir(directory, { recursive: true }).catch(() => [])
  const sizes = names.map((name) => stat(join(directory, name)).then(({ size }) => size))
  const known = await Promise.all(sizes.map((size) => size.catch(() => 0)))
  return known.reduce((sum, size) => sum + size, 0)
}

async function captureInto(place: Place, repository: string, pki: readonly string[]) {
  const source = join(place.scope.directory, 'source')
  await writeBulkContent(source)
  const from = ['--root', source, '--name', 'web', '--repository', repository]
  const capture = startSi(place, 'server1', ['getimage', ...from, ...pki])
  let isOver = false
  void capture.exited.finally(() => (isOver = true)).catch(() => {})
  await killInTheMiddle(
    place,
    'the capture',
    async () => (await bytesBelow(place.site.directory)) > 8 * MIB,
  )
  assert.equal(isOver, false, 'the capture was too quick for this test')
  assert.equal(await capture.exited, 0, capture.lastWords())
  return source
}

interface Deployment {
  readonly program: LabProgram
  readonly target: string
  doneBytes: number
  isReported: boolean
}

async function startDeployment(place: Place, host: string, args: readonly string[]) {
  const target = join(place.scope.directory, host)
  await mkdir(target)
  const run = { target, doneBytes: 0, isReported: false }
  const all = ['deploy', '--root', target, '--seed-for', '2m', '--json', ...args]
  const program = startSi(place, host, all, (line) => {
    const event = JSON.parse(line) as { type: string; phase?: string; doneBytes?: number }
    if (event.phase === 'writing') deployment.doneBytes = event.doneBytes ?? 0
    if (event.type === 'report') deployment.isReported = true
  })
  const deployment: Deployment = Object.assign(run, { program })
  return deployment
}

describe('a repository on the grid file system', { skip }, () => {
  test('is captured into and seeded out of by two servers while that of its files is killed', () =>
    lab.withScope(async (scope) => {
      const hosts = ['storage', ...SERVERS, ...NODES]
      const network = await lab.createNetwork(scope, { hosts, bitsPerSecond: BITS_PER_SECOND })
      const place = { scope, network, site: await createGridSite(scope, { network }) }
      const pki = await lab.makeCertificates(join(scope.directory, 'pki'))
      const mounts = [await place.site.mount('server1'), await place.site.mount('server2')] as const
      const source = await captureInto(place, mounts[0], pki)
      const urls = SERVERS.map((name) => `http://${network(name).address}:8080`)
      for (const [index, name] of SERVERS.entries()) {
        const from = ['server', '--repository', mounts[index] ?? '', '--no-local-discovery']
        const server = startSi(place, name, [...from, ...pki])
        await lab.waitForHttp(scope, network(name), `${urls[index]}/health`, server)
      }
      const torrent = ['--torrent', `${urls[0]}/images/web/img.torrent`, ...pki]
      const also = ['--peer', `${network('server2').address}:6881`, '--no-local-discovery']
      const deployments = await Promise.all(
        NODES.map((name) => startDeployment(place, name, [...torrent, ...also])),
      )
      const most = () => Math.max(...deployments.map(({ doneBytes }) => doneBytes))
      await killInTheMiddle(place, 'the deployments', () => most() > 12 * MIB)
      assert.ok(!deployments.every(({ isReported }) => isReported), 'too quick for this test')
      const wait = { deadlineMs: DEADLINE_MS, signal: scope.signal }
      for (const { target, program } of deployments) {
        const isReported = () => deployments.every((one) => one.isReported)
        await lab.waitFor(
          `the report of ${target}: ${program.lastWords()}`,
          async () => isReported(),
          wait,
        )
        assert.deepEqual(await lab.compareTrees(source, target, { excludes: [] }), [])
      }
      for (const [index, name] of SERVERS.entries()) {
        const { stdout } = await run(
          ...onCableOf(network(name), 'curl', ['-s', `${urls[index]}/images`]),
        )
        const [image] = JSON.parse(stdout) as readonly { readonly uploadedBytes: number }[]
        assert.ok((image?.uploadedBytes ?? 0) > MIB, `${name} has not seeded: ${stdout}`)
      }
      const verifying = ['verifyimage', 'web', '--repository', mounts[1], ...pki]
      const verified = startSi(place, 'server2', verifying)
      assert.equal(await verified.exited, 0, verified.lastWords())
    }))
})
