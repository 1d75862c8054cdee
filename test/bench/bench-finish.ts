// How long the finishing of a deployed disk takes, step by step: a Debian with kernel and GRUB on a loop device, with and
// without a new initramfs. Programs of the image do nearly all of it, so their processor time is told beside the clock.
import { truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { silentProgress } from '../../src/core/core.ts'
import { deploy, PLAIN_FINISH, type DeployReport } from '../../src/deploy/deploy.ts'
import { bootableImage } from '../integration/bootable-image.ts'
import { deployOptions, seedSample, type SampleImage } from '../integration/deploy-sample.ts'
import { attachLoop, type LoopDisk } from '../lab/loop-disk.ts'
import { withScope, type Scope } from '../lab/scope.ts'
import { median } from './measure.ts'
import { readChildrenCpuSeconds } from './process-account.ts'
import { parseRounds, type Bench, type Report } from './report.ts'

const DISK_BYTES = 3000 * 2 ** 20
/** What the project promises for all that is not transfer, with a new initramfs. */
const GOAL_SECONDS = 20

export const benchFinish: Bench = {
  usage: '[--rounds 3]',
  async run(args) {
    const { values } = parseArgs({
      args: [...args],
      options: { rounds: { type: 'string', default: '3' } },
    })
    const rounds = parseRounds(values.rounds)
    return withScope(async (scope) => {
      const image = await bootableImage(scope)
      const seeder = await seedSample(image)
      scope.defer('seeder', () => seeder.close())
      const file = join(scope.directory, 'target.disk')
      await writeFile(file, '')
      await truncate(file, DISK_BYTES)
      const disk = await attachLoop(scope, file, DISK_BYTES)
      const site = { scope, image, disk, peers: [seeder.address] }
      const runs: FinishRun[] = []
      for (let round = 0; round < rounds; round++) runs.push(await finishOnce(site))
      return toReport(runs)
    })
  },
}

interface Site {
  readonly scope: Scope
  readonly image: SampleImage
  readonly disk: LoopDisk
  readonly peers: readonly string[]
}

interface FinishRun {
  readonly steps: DeployReport['finishing']
  /** Of mkfs and the programs of the image. */
  readonly cpuSeconds: number
}

async function finishOnce({ scope, image, disk, peers }: Site): Promise<FinishRun> {
  const finish = {
    ...{ ...PLAIN_FINISH, hostName: 'node07', initramfs: 'always' as const },
    firmware: 'bios' as const,
  }
  const target = { type: 'disk' as const, devices: [disk.device] }
  const io = { progress: silentProgress, confirm: () => Promise.resolve() }
  const before = await readChildrenCpuSeconds()
  const report = await deploy(deployOptions(image, target, { peers, finish }), io, scope.signal)
  return { steps: report.finishing, cpuSeconds: (await readChildrenCpuSeconds()) - before }
}

function toReport(runs: readonly FinishRun[]): Report {
  const names = runs[0]?.steps.map(({ name }) => name) ?? []
  const secondsOf = (pick: (run: FinishRun) => number) => median(runs.map(pick)) / 1000
  const ofStep = (name: string) => (run: FinishRun) =>
    run.steps.find((step) => step.name === name)?.durationMs ?? 0
  const ofAll = ({ steps }: FinishRun) => steps.reduce((sum, { durationMs }) => sum + durationMs, 0)
  const without = (run: FinishRun) => ofAll(run) - ofStep('initramfs')(run)
  const rows = [
    ...names.map((name) => ({ step: name, seconds: secondsOf(ofStep(name)) })),
    { step: 'all, initramfs kept', seconds: secondsOf(without) },
    { step: 'all', seconds: secondsOf(ofAll), atMost: GOAL_SECONDS },
    { step: 'processor time of programs', seconds: median(runs.map((run) => run.cpuSeconds)) },
  ]
  const table = rows.map(({ step, seconds, ...row }) => [
    ...[step, seconds.toFixed(2), 'atMost' in row ? `${row.atMost}` : ''],
  ])
  return { table: [['step', 'seconds', 'at most'], ...table], rows }
}
