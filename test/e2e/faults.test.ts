// The commands in a network where things break: the image server dies, or comes only later.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import * as lab from '../lab/lab.ts'
import {
  DEADLINE_MS,
  makeSite,
  startDeploy,
  startServer,
  TORRENT,
  waitForReport,
  waitForServer,
} from './swarm-site.ts'

const skip = process.getuid?.() === 0 || process.env['CI'] === 'true' ? false : 'needs root'
/** A connection to a port where nobody listens fails at once; this leaves time for several attempts. */
const ANNOUNCE_FAILS_MS = 2000

/** At 12 MB/s. */
const TWO_NODES = { nodes: ['node01', 'node02'], bitsPerSecond: 96e6 }

describe('si-deploy', { skip }, () => {
  test('finishes when the server is killed while one full copy is in the swarm', async () => {
    await lab.withScope(async (scope) => {
      const site = await makeSite(scope, TWO_NODES)
      const server = startServer(site)
      await waitForServer(site, server)
      const first = await startDeploy(site, 'node01', TORRENT)
      await waitForReport(site, first)
      const second = await startDeploy(site, 'node02', TORRENT)
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
      const site = await makeSite(scope, TWO_NODES)
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
