// A server of the grid file system that is killed again and again under programs: none of them sees an
// error, everything takes effect exactly once, and what was written is there.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { startPosixAgent } from '../contract/posix/posix-agent.ts'
import { createGridSite, type GridSite } from '../lab/grid-site.ts'
import { waitFor, withScope, type Scope } from '../lab/scope.ts'
import { changeNames, writeBlocks, type Progress } from './grid-load.ts'

const KILLS = 20
const CALLS_BETWEEN = 15
const RESUME_MS = 2000

/** Kills the server in the middle of calls; the longest time until calls went on after its return. */
async function killAgain(
  scope: Scope,
  site: GridSite,
  progress: readonly Progress[],
): Promise<number> {
  let longestMs = 0
  const grown = (since: readonly number[], by: number) => () =>
    Promise.resolve(progress.every(({ calls }, index) => calls >= (since[index] ?? 0) + by))
  const calls = () => progress.map((one) => one.calls)
  const wait = { deadlineMs: 20_000, signal: scope.signal }
  for (let kill = 0; kill < KILLS; kill += 1) {
    await waitFor('calls between two kills', grown(calls(), CALLS_BETWEEN), wait)
    await site.server().stop('SIGKILL')
    await site.restart()
    const returned = performance.now()
    await waitFor('calls after the return of the server', grown(calls(), 2), wait)
    longestMs = Math.max(longestMs, performance.now() - returned)
  }
  return longestMs
}

const skip = process.getuid?.() === 0 ? false : 'needs root'

describe('a grid file system whose server is killed', { skip }, () => {
  test(`serves ${KILLS} times again, as if nothing had been`, async () => {
    await withScope(async (scope) => {
      const site = await createGridSite(scope)
      const folder = await site.mount('mounted')
      const names: Progress = { calls: 0, isOver: false }
      const data: Progress = { calls: 0, isOver: false }
      const working = Promise.all([
        changeNames(startPosixAgent(scope), folder, names),
        writeBlocks(startPosixAgent(scope), folder, data),
      ])
      const killing = killAgain(scope, site, [names, data]).finally(() => {
        names.isOver = data.isOver = true
      })
      const [longestMs, [, content]] = await Promise.all([killing, working])
      assert.ok(longestMs <= RESUME_MS, `resumed after ${Math.round(longestMs)} ms`)
      const found = (name: string) => readFile(join(site.directory, name), 'latin1')
      assert.ok((await found('written')) === content.blocks)
      assert.equal(await found('appended'), content.lines)
      const left = await startPosixAgent(scope).call('list', folder)
      assert.deepEqual(left, ['appended', 'written'])
    })
  })
})
