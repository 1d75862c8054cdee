// si-deploy --root as a library: one seeder on loopback, a nasty tree, every way to be interrupted. Needs
// root for owners and device nodes.
import assert from 'node:assert/strict'
import { mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { silentProgress } from '../../src/core/core.ts'
import { deploy, type DeployPlan } from '../../src/deploy/deploy.ts'
import { compareTrees } from '../lab/compare-trees.ts'
import { writeNastyContent } from '../lab/golden-content.ts'
import { withScope } from '../lab/scope.ts'
import { deployOptions, makeSampleImage, seedSample } from './deploy-sample.ts'

const skip = process.geteuid?.() === 0 ? false : 'needs root'
const io = { progress: silentProgress, confirm: () => Promise.resolve() }

test('deploy() into a directory gives the golden tree in everything', { skip }, async () => {
  await withScope(async (scope) => {
    const tree = join(scope.directory, 'golden')
    await writeNastyContent(scope, tree)
    const image = await makeSampleImage({ tree, directory: join(scope.directory, 'image') })
    const seeder = await seedSample(image)
    scope.defer('seeder', () => seeder.close())
    const directory = join(scope.directory, 'target')
    await mkdir(directory)
    const plans: DeployPlan[] = []
    const confirm = (plan: DeployPlan) => Promise.resolve(void plans.push(plan))
    const options = deployOptions(image, { type: 'root', directory }, { peers: [seeder.address] })
    const report = await deploy(options, { ...io, confirm }, scope.signal)
    assert.deepEqual(await compareTrees(tree, directory, { excludes: [] }), [])
    assert.equal(plans[0]?.resumes, false)
    assert.deepEqual(report.notes, [])
    assert.equal(report.resumedPieces, 0)
    assert.equal(report.fileCount, image.header.entryCount)
    assert.equal((await readdir(directory)).includes('.swarmimager-journal'), false)
  })
})
