// si-deploy --root as a library: one seeder on loopback, a nasty tree, every way to be interrupted. Needs
// root for owners and device nodes.
import assert from 'node:assert/strict'
import { mkdir, readdir, symlink, writeFile } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { isSiError, silentProgress } from '../../src/core/core.ts'
import { deploy, type DeployPlan } from '../../src/deploy/deploy.ts'
import { compareTrees } from '../lab/compare-trees.ts'
import { writeBulkContent, writeNastyContent } from '../lab/golden-content.ts'
import { withScope } from '../lab/scope.ts'
import {
  deployOptions,
  makeSampleImage,
  replaceManifest,
  seedSample,
  wantedBytes,
} from './deploy-sample.ts'

const skip = process.geteuid?.() === 0 ? false : 'needs root'
const io = { progress: silentProgress, confirm: () => Promise.resolve() }

for (const lanes of [1, 2]) {
  const title = `deploy() into a directory gives the golden tree in everything with lanes: ${lanes}`
  test(title, { skip }, async () => {
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
      const changes = { lanes, peers: [seeder.address] }
      const options = deployOptions(image, { type: 'root', directory }, changes)
      const report = await deploy(options, { ...io, confirm }, scope.signal)
      assert.deepEqual(await compareTrees(tree, directory, { excludes: [] }), [])
      assert.equal(plans[0]?.resumes, false)
      assert.deepEqual(report.notes, [])
      assert.equal(report.resumedPieces, 0)
      assert.equal(report.fileCount, image.header.entryCount)
      assert.ok(wantedBytes(image) < image.metainfo.lengthBytes, 'the image has padding')
      assert.equal(report.fromServerBytes, wantedBytes(image))
      assert.equal((await readdir(directory)).includes('.swarmimager-journal'), false)
    })
  })
}

const hostile: readonly [string, (entry: Record<string, unknown>) => void, RegExp][] = [
  ['an absolute path', (entry) => (entry['path'] = '/etc/passwd'), /ERR_SI_UNSAFE_PATH/],
  ['a path with ..', (entry) => (entry['path'] = 'd/../../x'), /ERR_SI_UNSAFE_PATH/],
  [
    'a path through a symlink',
    (entry) => (entry['path'] = 'away/x'),
    /ERR_SI_(UNSAFE_PATH|MANIFEST)/,
  ],
  ['the name of the journal', (entry) => (entry['path'] = '.swarmimager-journal'), /UNSAFE_PATH/],
]
for (const [what, plant, code] of hostile) {
  test(`deploy() writes nothing of a manifest with ${what}`, { skip }, async () => {
    await withScope(async (scope) => {
      const tree = join(scope.directory, 'golden')
      await mkdir(join(tree, 'd'), { recursive: true })
      await symlink('/etc', join(tree, 'away'))
      await writeFile(join(tree, 'd', 'victim'), 'data')
      const good = await makeSampleImage({ tree, directory: join(scope.directory, 'image') })
      let planted = 0
      const image = await replaceManifest(good, (lines) =>
        lines.map((line) => {
          if (!line.includes('victim')) return line
          const entry = JSON.parse(line) as Record<string, unknown>
          plant(entry)
          planted++
          return JSON.stringify(entry)
        }),
      )
      assert.equal(planted, 1)
      const seeder = await seedSample(image)
      scope.defer('seeder', () => seeder.close())
      const directory = join(scope.directory, 'target')
      await mkdir(directory)
      const options = deployOptions(image, { type: 'root', directory }, { peers: [seeder.address] })
      await assert.rejects(deploy(options, io, scope.signal), (error: unknown) => {
        assert.match(isSiError(error) ? error.code : String(error), code)
        return true
      })
      assert.deepEqual(await readdir(directory), [])
    })
  })
}

test(
  'a node that only seeds on gives another the whole image, from memory and from its target',
  {
    skip,
  },
  async () => {
    await withScope(async (scope) => {
      const tree = join(scope.directory, 'golden')
      await writeNastyContent(scope, tree)
      await writeBulkContent(join(tree, 'bulk'))
      const image = await makeSampleImage({ tree, directory: join(scope.directory, 'image') })
      const seeder = await seedSample(image)
      scope.defer('seeder', () => seeder.close())
      const [first, second] = ['first', 'second'].map((name) => join(scope.directory, name)) as [
        ...[string, string],
      ]
      await mkdir(first)
      await mkdir(second)
      const port = await freePort()
      const stop = new AbortController()
      const completed = Promise.withResolvers<void>()
      const seeding = deploy(
        deployOptions(
          image,
          { type: 'root', directory: first },
          {
            ...{ peers: [seeder.address], listenPort: port, seedForMs: Infinity },
            pieceCacheBytes: 10 * 64 * 1024,
          },
        ),
        { ...io, onComplete: () => completed.resolve() },
        stop.signal,
      )
      await Promise.race([completed.promise, seeding])
      await seeder.close()
      const peers = [`127.0.0.1:${port}`]
      const options = deployOptions(image, { type: 'root', directory: second }, { peers })
      const report = await deploy(options, io, scope.signal)
      assert.equal(report.fromServerBytes, 0)
      assert.equal(report.fromPeersBytes, wantedBytes(image))
      stop.abort()
      await seeding
      for (const directory of [first, second]) {
        assert.deepEqual(await compareTrees(tree, directory, { excludes: [] }), [])
      }
    })
  },
)

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}
