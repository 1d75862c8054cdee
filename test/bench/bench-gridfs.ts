// The grid file system against sshfs with the same cipher, over loopback, out of the same folder on tmpfs;
// that folder itself is the limit. Ratios to sshfs of the same round are what counts.
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { parseSize } from '../../src/core/core.ts'
import { mountDevice } from '../lab/loop-disk.ts'
import { withScope, type Scope } from '../lab/scope.ts'
import { writeContent } from './gridfs-content.ts'
import { gridContestants, type GridContestant } from './gridfs-contestants.ts'
import { GRID_MEASURES, warmUp } from './gridfs-measures.ts'
import { gridReport, type GridResult } from './gridfs-report.ts'
import { parseRounds, type Bench } from './report.ts'

export const benchGridfs: Bench = {
  usage: '[--size 512MiB] [--rounds 5] [--only WORD, such as read]',
  async run(args) {
    const { values } = parseArgs({
      args: [...args],
      options: {
        size: { type: 'string', default: '512MiB' },
        rounds: { type: 'string', default: '5' },
        only: { type: 'string', default: '' },
      },
    })
    const [largeBytes, rounds] = [parseSize(values.size), parseRounds(values.rounds)]
    return withScope(async (scope) => {
      const exported = join(scope.directory, 'exported')
      await mkdir(exported)
      await mountDevice(scope, { device: 'tmpfs', at: exported, type: 'tmpfs' })
      await writeContent(exported, largeBytes)
      const contestants = await gridContestants(scope, exported)
      const results: GridResult[] = []
      for (let round = 0; round < rounds; round += 1) {
        for (const contestant of contestants) {
          const how = { round, largeBytes, only: values.only }
          results.push(...(await oneRound(scope, contestant, how)))
        }
      }
      return gridReport(results)
    })
  },
}

async function oneRound(
  { signal }: Scope,
  contestant: GridContestant,
  how: { readonly round: number; readonly largeBytes: number; readonly only: string },
): Promise<GridResult[]> {
  const { round, largeBytes, only } = how
  const mounted = await contestant.mount(round)
  await warmUp(mounted.folder, signal)
  const results: GridResult[] = []
  for (const { name, measure } of GRID_MEASURES) {
    if (!name.includes(only)) continue
    const before = await mounted.cpuSeconds()
    const figure = await measure(mounted.folder, { largeBytes, signal })
    const cpuSeconds = (await mounted.cpuSeconds()) - before
    results.push({ contestant: contestant.name, measure: name, round, figure, cpuSeconds })
  }
  await mounted.unmount()
  return results
}
