// Deployments that are cut off: killed, interrupted, out of room, or fed with a hostile image. What is
// left must be able to go on, and nothing may stay mounted. Needs root.
import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { test } from 'node:test'
import { isSiError, silentProgress, SiError } from '../../src/core/core.ts'
import { deploy, type DeployPlan } from '../../src/deploy/deploy.ts'
import { readMounts, run, start } from '../../src/host/host.ts'
import { compareTrees } from '../lab/compare-trees.ts'
import { createLoopDisk, mountDevice } from '../lab/loop-disk.ts'
import { waitFor, withScope, type Scope } from '../lab/scope.ts'
import { makeGolden, seed } from './deploy-golden.ts'
import { deployOptions } from './deploy-sample.ts'
import type { DeployOptions } from '../../src/deploy/deploy.ts'

const skip = process.geteuid?.() === 0 ? false : 'needs root'
const io = { progress: silentProgress, confirm: () => Promise.resolve() }
const MIB = 2 ** 20
const DEADLINE_MS = 30_000
const CHILD = join(import.meta.dirname, 'deploy-child.ts')

/** Runs a deployment in a child until its journal names pieces, and kills it. */
async function deployAndKill(scope: Scope, options: DeployOptions, journal: string): Promise<void> {
  const child = start(process.execPath, [CHILD, JSON.stringify(options)], { stdio: 'pipe' })
  scope.defer('child', () => Promise.resolve(child.process.kill('SIGKILL')))
  let words = ''
  void child.exited.then(({ stderr }) => (words = stderr))
  const hasBatch = () => {
    assert.equal(child.process.exitCode, null, words)
    return globSync(journal).some((path) => /^\[\[\d/m.test(readFileSync(path, 'utf8')))
  }
  await waitFor('a journal with pieces', hasBatch, { deadlineMs: DEADLINE_MS })
  child.process.kill('SIGKILL')
  await child.exited
}

test('deploy() into a directory goes on after kill -9', { skip }, async () => {
  await withScope(async (scope) => {
    const { tree, image } = await makeGolden(scope)
    const directory = join(scope.directory, 'target')
    await mkdir(directory)
    const target = { type: 'root', directory } as const
    const peers = await seed(scope, image, 40)
    const journal = join(directory, '.swarmimager-journal')
    await deployAndKill(scope, deployOptions(image, target, { peers }), journal)
    const again = { peers: await seed(scope, image) }
    const report = await deploy(deployOptions(image, target, again), io, scope.signal)
    assert.equal(report.resumedPieces, 40)
    assert.ok(report.fromServerBytes < image.metainfo.lengthBytes - 30 * 256 * 1024)
    assert.deepEqual(await compareTrees(tree, directory, { excludes: [] }), [])
    assert.equal((await readdir(directory)).includes('.swarmimager-journal'), false)
  })
})

test(
  'deploy() onto a disk goes on after kill -9 without partitioning again',
  { skip },
  async () => {
    await withScope(async (scope) => {
      const { tree, image } = await makeGolden(scope)
      const disk = await createLoopDisk(scope, { name: 'target', sizeBytes: 256 * MIB })
      const target = { type: 'disk', devices: [disk.device] } as const
      const peers = await seed(scope, image, 40)
      const journal = `/run/swarmimager/${basename(disk.device)}.*/.swarmimager-journal`
      const leftMounted = async () => {
        const mounts = await readMounts()
        return mounts.filter(({ mountPoint }) =>
          mountPoint.startsWith(`/run/swarmimager/${basename(disk.device)}.`),
        )
      }
      scope.defer('mounts', async () => {
        for (const { mountPoint } of await leftMounted()) await run('umount', [mountPoint])
      })
      await deployAndKill(scope, deployOptions(image, target, { peers }), journal)
      const plans: DeployPlan[] = []
      const confirm = (plan: DeployPlan) => Promise.resolve(void plans.push(plan))
      const again = deployOptions(image, target, { peers: await seed(scope, image) })
      const report = await deploy(again, { ...io, confirm }, scope.signal)
      assert.equal(plans[0]?.resumes, true)
      assert.equal(report.resumedPieces, 40)
      assert.deepEqual(await leftMounted(), [])
      const at = join(scope.directory, 'mounted')
      await mountDevice(scope, { device: disk.partition(1), at, options: ['ro'] })
      assert.deepEqual(await compareTrees(tree, at, { excludes: ['/lost+found'] }), [])
    })
  },
)

test(
  'deploy() that is interrupted leaves no mount and goes on when run again',
  { skip },
  async () => {
    await withScope(async (scope) => {
      const { tree, image } = await makeGolden(scope)
      const disk = await createLoopDisk(scope, { name: 'target', sizeBytes: 256 * MIB })
      const target = { type: 'disk', devices: [disk.device] } as const
      const interrupt = new AbortController()
      const isHalfDone = { bytes: 40 * 256 * 1024 }
      const progress = {
        ...silentProgress,
        update: ({ phase, doneBytes }: { readonly phase: string; readonly doneBytes: number }) => {
          if (phase === 'writing' && doneBytes >= isHalfDone.bytes) {
            interrupt.abort(new SiError('ERR_SI_ABORTED', 'Interrupted by SIGINT'))
          }
        },
      }
      const first = deployOptions(image, target, { peers: await seed(scope, image, 40) })
      await assert.rejects(deploy(first, { ...io, progress }, interrupt.signal), {
        code: 'ERR_SI_ABORTED',
        message: 'Interrupted by SIGINT: the target is unfinished, its journal is kept',
        hint: 'Run the same command again to go on where it stopped',
      })
      const isOurs = ({ mountPoint }: { readonly mountPoint: string }) =>
        mountPoint.startsWith(`/run/swarmimager/${basename(disk.device)}.`)
      assert.deepEqual((await readMounts()).filter(isOurs), [])
      const again = deployOptions(image, target, { peers: await seed(scope, image) })
      assert.equal((await deploy(again, io, scope.signal)).resumedPieces, 40)
      const at = join(scope.directory, 'mounted')
      await mountDevice(scope, { device: disk.partition(1), at, options: ['ro'] })
      assert.deepEqual(await compareTrees(tree, at, { excludes: ['/lost+found'] }), [])
    })
  },
)

async function codeOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'no error',
    (error: unknown) => (isSiError(error) ? `${error.code} ${error.message}` : String(error)),
  )
}

test('deploy() into a directory refuses what is not empty or too small', { skip }, async () => {
  await withScope(async (scope) => {
    const { image } = await makeGolden(scope)
    const peers = await seed(scope, image)
    const attempt = (directory: string) =>
      codeOf(deploy(deployOptions(image, { type: 'root', directory }, { peers }), io, scope.signal))
    const used = join(scope.directory, 'used')
    await mkdir(used)
    await writeFile(join(used, 'precious'), 'data')
    assert.match(await attempt(used), /^ERR_SI_TARGET_UNSUITABLE .*: it is not empty$/)
    assert.match(await attempt(join(scope.directory, 'none')), /^ERR_SI_TARGET_UNSUITABLE .*ENOENT/)
    const disk = await createLoopDisk(scope, { name: 'small', sizeBytes: 32 * MIB })
    await run('mkfs.ext4', ['-q', '-F', disk.device])
    const small = join(scope.directory, 'small')
    await mountDevice(scope, { device: disk.device, at: small })
    assert.match(await attempt(small), /^ERR_SI_TARGET_FULL .* MiB are free, image needs .* MiB$/)
    assert.deepEqual(await readdir(small), ['lost+found'])
  })
})

test(
  'deploy() whose target runs full half-way names the file and keeps the journal',
  {
    skip,
  },
  async () => {
    await withScope(async (scope) => {
      const { image } = await makeGolden(scope)
      const disk = await createLoopDisk(scope, { name: 'small', sizeBytes: 96 * MIB })
      await run('mkfs.ext4', ['-q', '-F', disk.device])
      const directory = join(scope.directory, 'small')
      await mountDevice(scope, { device: disk.device, at: directory })
      // Room that others take after the deployment has begun.
      const confirm = async () => {
        const { stdout } = await run('df', ['--output=avail', '--block-size=1', directory])
        const freeBytes = Number(stdout.trim().split('\n')[1])
        const rest = String(freeBytes - 16 * MIB)
        await run('fallocate', ['--length', rest, join(directory, 'lost+found', 'hog')])
      }
      const options = { peers: await seed(scope, image) }
      const target = { type: 'root', directory } as const
      const outcome = await codeOf(
        deploy(deployOptions(image, target, options), { ...io, confirm }, scope.signal),
      )
      // Which file is the first without room depends on the order of the pieces, which is random.
      assert.match(outcome, /^ERR_SI_TARGET_FULL Cannot write ".+": the target is full$/)
      assert.ok((await readdir(directory)).includes('.swarmimager-journal'))
    })
  },
)
