// The process that serves a mount is killed again and again under programs, alone, by turns with the server,
// and for an upgrade: none of them sees an error, everything takes effect exactly once, what was written is
// there. When all processes of a mount are killed, nothing hangs and nothing stays mounted.
import assert from 'node:assert/strict'
import { readFile, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { readMounts, run } from '../../src/host/host.ts'
import { startPosixAgent, type PosixAgent } from '../contract/posix/posix-agent.ts'
import { equal, fails, O } from '../contract/posix/posix-site.ts'
import { createGridSite, type GridSite } from '../lab/grid-site.ts'
import { waitFor, withScope, type Scope } from '../lab/scope.ts'
import { changeNames, writeBlocks, type Progress } from './grid-load.ts'

const KILLS = 20
const CALLS_BETWEEN = 10
const RESUME_MS = 2000
const DEADLINE_MS = 30_000

/** Reads a file that is open over and over, and holds a lock of it. */
async function readLocked(agent: PosixAgent, path: string, progress: Progress): Promise<void> {
  const content = 'what is read '.repeat(1000)
  const fd = await agent.number('open', path, O.CREAT | O.RDWR, 0o644)
  await agent.call('write', fd, content)
  await agent.call('lock', fd, 'write', 0, 10)
  while (!progress.isOver) {
    await equal(agent.call('pread', fd, content.length, 0), content)
    progress.calls += 1
  }
}

interface Work {
  readonly progress: readonly Progress[]
  /** Ends it; settles with what was written. */
  end(): Promise<{ readonly blocks: string; readonly lines: string }>
}

function startWork(scope: Scope, folder: string): Work {
  const progress = Array.from({ length: 3 }, (): Progress => ({ calls: 0, isOver: false }))
  const [names, data, reads] = progress as [Progress, Progress, Progress]
  const working = Promise.all([
    writeBlocks(startPosixAgent(scope), folder, data),
    changeNames(startPosixAgent(scope), folder, names),
    readLocked(startPosixAgent(scope), join(folder, 'locked'), reads),
  ])
  working.catch(() => {}) // whoever ends it is told
  return {
    progress,
    async end() {
      for (const one of progress) one.isOver = true
      return (await working)[0]
    },
  }
}

/** Settles when each program has made so many more calls; the time in milliseconds. */
async function workOn(scope: Scope, { progress }: Work, calls: number): Promise<number> {
  const since = progress.map((one) => one.calls)
  const began = performance.now()
  const isDone = () => progress.every((one, index) => one.calls >= (since[index] ?? 0) + calls)
  await waitFor('calls of all programs', isDone, { deadlineMs: DEADLINE_MS, signal: scope.signal })
  return performance.now() - began
}

async function checkWritten(site: GridSite, work: Work): Promise<void> {
  const content = await work.end()
  const found = (name: string) => readFile(join(site.directory, name), 'latin1')
  assert.ok((await found('written')) === content.blocks)
  assert.equal(await found('appended'), content.lines)
  const names = (await readdir(site.directory)).filter((name) => !name.startsWith('.'))
  assert.deepEqual(names.toSorted(), ['appended', 'locked', 'written'])
}

const skip = process.getuid?.() === 0 ? false : 'needs root'

describe('a mount whose processes are killed', { skip }, () => {
  test(`goes on ${KILLS} times as if nothing had been`, async () => {
    await withScope(async (scope) => {
      const site = await createGridSite(scope)
      const folder = await site.mount('mounted')
      const other = await site.mount('other')
      const work = startWork(scope, folder)
      const pausesMs: number[] = []
      for (let kill = 0; kill < KILLS; kill += 1) {
        await workOn(scope, work, CALLS_BETWEEN)
        process.kill(await site.worker('mounted'), 'SIGKILL')
        pausesMs.push(await workOn(scope, work, 1))
      }
      const stranger = startPosixAgent(scope)
      const fd = await stranger.number('open', join(other, 'locked'), O.RDWR)
      await fails('EAGAIN', stranger.call('lock', fd, 'write', 0, 1))
      await checkWritten(site, work)
      // A new process has to load its program: what else this machine does makes single pauses longer.
      const paused = `paused for ${pausesMs.map(Math.round).join(', ')} ms`
      assert.ok(Math.min(...pausesMs) <= RESUME_MS, paused)
    })
  })

  test('goes on when its server is killed by turns', async () => {
    await withScope(async (scope) => {
      const site = await createGridSite(scope)
      const work = startWork(scope, await site.mount('mounted'))
      for (let kill = 0; kill < 5; kill += 1) {
        await workOn(scope, work, CALLS_BETWEEN)
        await site.server().stop('SIGKILL')
        process.kill(await site.worker('mounted'), 'SIGKILL')
        await site.restart()
        await workOn(scope, work, CALLS_BETWEEN)
        process.kill(await site.worker('mounted'), 'SIGKILL')
      }
      await workOn(scope, work, CALLS_BETWEEN)
      await checkWritten(site, work)
    })
  })

  test('changes to the program that is installed now at SIGHUP', async () => {
    await withScope(async (scope) => {
      const site = await createGridSite(scope)
      const work = startWork(scope, await site.mount('mounted'))
      for (let upgrade = 0; upgrade < 3; upgrade += 1) {
        await workOn(scope, work, CALLS_BETWEEN)
        const before = await site.worker('mounted')
        process.kill(site.supervisor('mounted').pid, 'SIGHUP')
        const isAnother = async () => (await site.worker('mounted')) !== before
        const isGone = async () => !(await readdir('/proc')).includes(`${before}`)
        const wait = { deadlineMs: DEADLINE_MS, signal: scope.signal }
        await waitFor('the end of the old process', isGone, wait)
        await waitFor('another process', isAnother, wait)
      }
      await workOn(scope, work, CALLS_BETWEEN)
      await checkWritten(site, work)
    })
  })

  test('is taken away when all of them are killed, and whoever waits is told', async () => {
    await withScope(async (scope) => {
      const site = await createGridSite(scope)
      const folder = await site.mount('mounted')
      await site.server().stop('SIGKILL')
      const waits = assert.rejects(startPosixAgent(scope).call('stat', join(folder, 'file')))
      const worker = await site.worker('mounted')
      process.kill(site.supervisor('mounted').pid, 'SIGKILL')
      process.kill(worker, 'SIGKILL')
      await waits
      const isGone = async () =>
        !(await readMounts()).some(({ mountPoint }) => mountPoint === folder)
      await waitFor('the end of the mount', isGone, { deadlineMs: DEADLINE_MS })
      assert.equal((await run('ls', ['-A', folder])).stdout, '')
    })
  })

  test('ends at umount, and at a signal to its supervisor', async () => {
    await withScope(async (scope) => {
      const site = await createGridSite(scope)
      const [first, second] = [await site.mount('first'), await site.mount('second')]
      await run('umount', [first])
      assert.equal(await site.supervisor('first').exited, 0)
      await site.supervisor('second').stop('SIGTERM')
      assert.equal(await site.supervisor('second').exited, 0)
      const left = (await readMounts()).map(({ mountPoint }) => mountPoint)
      assert.ok(!left.includes(first) && !left.includes(second))
    })
  })
})
