// A swarm of real machines that fail: half of them lose power in the middle and start again, one hangs
// for a while. All complete, and those that were killed go on where they were.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
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
  type Deployment,
  type Site,
} from './swarm-site.ts'

const skip = process.getuid?.() === 0 || process.env['CI'] === 'true' ? false : 'needs root'
/** 3 MB/s: slow enough that the journal of a node names pieces when half of them are there. */
const LINK_BITS_PER_SECOND = 24e6
const CONTENT_BYTES = 36 * 2 ** 20
/** Longer than its neighbours wait for an answer. */
const HANG_MS = 6000
const KILLED = ['node01', 'node02', 'node03', 'node04']
const OTHERS = ['node05', 'node06', 'node07', 'node08']

/** At least half of the pieces are there, and the journal would know some of them after a crash. */
async function isHalfDone({ target, doneBytes }: Deployment): Promise<boolean> {
  if (doneBytes < CONTENT_BYTES / 2) return false
  const journal = await readFile(join(target, '.swarmimager-journal'), 'utf8').catch(() => '')
  return /^\[\[\d/m.test(journal)
}

async function killAndRestart(site: Site, name: string, node: Deployment): Promise<Deployment> {
  const options = { deadlineMs: DEADLINE_MS, signal: site.scope.signal }
  await lab.waitFor(`half of the pieces on ${name}`, () => isHalfDone(node), options)
  assert.equal(node.report, undefined, `${name} was too quick for this test`)
  await node.program.stop('SIGKILL')
  return startDeploy(site, name, TORRENT)
}

async function hang({ scope }: Site, node: Deployment): Promise<void> {
  const options = { deadlineMs: DEADLINE_MS, signal: scope.signal }
  await lab.waitFor('a quarter of the pieces', () => node.doneBytes > CONTENT_BYTES / 4, options)
  process.kill(node.program.pid, 'SIGSTOP')
  try {
    await delay(HANG_MS, undefined, { signal: scope.signal })
  } finally {
    process.kill(node.program.pid, 'SIGCONT')
  }
}

describe('si-deploy in a swarm of eight', { skip }, () => {
  test('completes on all when four are killed at 50 % and restarted, and one hangs', () =>
    lab.withScope(async (scope) => {
      const directory = join(scope.directory, 'memory')
      await lab.mountDevice(scope, { type: 'tmpfs', device: 'memory', at: directory })
      const nodes = [...KILLED, ...OTHERS]
      const site = await makeSite(scope, { nodes, bitsPerSecond: LINK_BITS_PER_SECOND, directory })
      await waitForServer(site, startServer(site))
      const start = (name: string) => startDeploy(site, name, TORRENT)
      const killed = await Promise.all(KILLED.map(start))
      const others = await Promise.all(OTHERS.map(start))
      const [hanging] = others
      assert.ok(hanging)
      const restarting = killed.map((node, index) =>
        killAndRestart(site, KILLED[index] ?? '', node),
      )
      const [restarted] = await Promise.all([Promise.all(restarting), hang(site, hanging)])
      const resumed = await Promise.all(restarted.map((node) => waitForReport(site, node)))
      for (const { resumedPieces } of resumed) assert.ok(resumedPieces > 0)
      for (const node of others) await waitForReport(site, node)
      for (const { target } of [...restarted, ...others]) {
        assert.deepEqual(await lab.compareTrees(site.source, target, { excludes: [] }), [])
      }
    }))
})
