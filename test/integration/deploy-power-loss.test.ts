// A node that loses power, with every write that the disk had not flushed. What the journal says is looked
// at again; the deployment goes on, fetches no more than one interval of the journal anew, and the disk
// ends as the golden one. Needs root.
import assert from 'node:assert/strict'
import { globSync, statSync } from 'node:fs'
import { link, mkdir, open, readFile, rm, symlink, truncate, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { test } from 'node:test'
import { silentProgress, type Progress } from '../../src/core/core.ts'
import { deploy, type DeployReport } from '../../src/deploy/deploy.ts'
import { run } from '../../src/host/host.ts'
import { compareTrees } from '../lab/compare-trees.ts'
import { createForgetfulDisk, type PowerCut } from '../lab/forgetful-disk.ts'
import { attachLoop, mountDevice } from '../lab/loop-disk.ts'
import { withScope, type Scope } from '../lab/scope.ts'
import { createRandom } from '../sim/seeded-random.ts'
import { DISK_BYTES, makeGolden, PIECE_BYTES, seed } from './deploy-golden.ts'
import { deployOptions, wantedBytes, type SampleImage } from './deploy-sample.ts'

const skip = process.geteuid?.() === 0 ? false : 'needs root'
const MIB = 2 ** 20
/** Slow enough that the journal, written every five seconds, is written several times. */
const BYTES_PER_SECOND = 2.5 * MIB

interface Cut {
  readonly power: PowerCut
  /** Written when the power was cut. */
  readonly doneBytes: number
  /** Written when the journal was last begun to be written before that, at the least. */
  readonly recordedBytes: number
}

/** Deploys slowly onto a disk that forgets, and cuts its power when so many shares of the image are written. */
async function deployWithCuts(
  scope: Scope,
  image: SampleImage,
  shares: readonly number[],
): Promise<readonly Cut[]> {
  const disk = await createForgetfulDisk(scope, { name: 'target', sizeBytes: DISK_BYTES })
  const journal = `/run/swarmimager/${basename(disk.device)}.*/.swarmimager-journal`
  const journalBytes = () => globSync(journal).reduce((sum, path) => sum + statSync(path).size, 0)
  const cuts: Promise<Cut>[] = []
  const changes: { readonly bytes: number; readonly doneBytes: number }[] = []
  const progress: Progress = {
    ...silentProgress,
    update({ phase, doneBytes, totalBytes = 0 }) {
      if (phase !== 'writing') return
      const bytes = journalBytes()
      if (bytes !== changes.at(-1)?.bytes) changes.push({ bytes, doneBytes })
      const share = shares[cuts.length]
      if (share === undefined || doneBytes < share * totalBytes) return
      const recordedBytes = changes.at(-2)?.doneBytes ?? 0
      cuts.push(
        disk.cutPower(`cut-${cuts.length}`).then((power) => ({ power, doneBytes, recordedBytes })),
      )
    },
  }
  const target = { type: 'disk', devices: [disk.device] } as const
  const limits = { downloadBytesPerSecond: BYTES_PER_SECOND, peers: await seed(scope, image) }
  const confirm = () => Promise.resolve()
  await deploy(deployOptions(image, target, limits), { progress, confirm }, scope.signal)
  return Promise.all(cuts)
}

test(
  'deploy() onto a disk goes on after power cuts that took all that was not flushed',
  { skip },
  async () => {
    await withScope(async (scope) => {
      const { tree, image } = await makeGolden(scope)
      const cuts = await deployWithCuts(scope, image, [0.1, 0.5, 0.75, 0.9])
      assert.equal(cuts.length, 4)
      const peers = await seed(scope, image)
      const seedNumber = Date.now() % 1e6
      const random = createRandom(seedNumber)
      for (const [index, cut] of cuts.entries()) {
        const name = `cut ${index}, random numbers of ${seedNumber}`
        const path = await cut.power.remains(() => random() < 0.5)
        const disk = await attachLoop(scope, path, DISK_BYTES)
        const target = { type: 'disk', devices: [disk.device] } as const
        const notes: string[] = []
        const progress = { ...silentProgress, note: (text: string) => void notes.push(text) }
        const io = { progress, confirm: () => Promise.resolve() }
        const report = await deploy(deployOptions(image, target, { peers }), io, scope.signal)
        assert.deepEqual(
          notes.filter((note) => note.includes('not there')),
          [],
          name,
        )
        assertNotFetchedTwice(report, { cut, image, name })
        const at = join(scope.directory, `mounted-${index}`)
        await mountDevice(scope, { device: disk.partition(1), at, options: ['ro'] })
        assert.deepEqual(await compareTrees(tree, at, { excludes: ['/lost+found'] }), [], name)
      }
    })
  },
)

function assertNotFetchedTwice(
  report: DeployReport,
  { cut, image, name }: { readonly cut: Cut; readonly image: SampleImage; readonly name: string },
): void {
  const keptBytes = report.resumedPieces * PIECE_BYTES
  assert.ok(
    keptBytes >= cut.recordedBytes,
    `${name}: ${keptBytes} of ${cut.recordedBytes} bytes kept`,
  )
  // The manifest's piece comes again, and in the last piece of the pack may be less than a piece.
  const wanted = wantedBytes(image) - keptBytes + PIECE_BYTES
  assert.ok(
    report.fromServerBytes <= wanted,
    `${name}: ${report.fromServerBytes} of ${wanted} bytes`,
  )
}

const HEAL = /^\d+ pieces that were written are not there and are fetched again$/m

/** Deploys most of the image, damages a file that the journal speaks of, and deploys again. */
async function deployOverDamage(
  scope: Scope,
  doDamage: (path: string) => Promise<unknown>,
): Promise<{ readonly tree: string; readonly directory: string; readonly notes: string }> {
  const { tree, image } = await makeGolden(scope)
  const directory = join(scope.directory, 'target')
  await mkdir(directory)
  const target = { type: 'root', directory } as const
  const peers = await seed(scope, image)
  const interrupt = new AbortController()
  const notes: string[] = []
  const progress: Progress = {
    note: (text) => void notes.push(text),
    update({ phase, doneBytes, totalBytes = 0 }) {
      if (phase === 'writing' && doneBytes > 0.8 * totalBytes) interrupt.abort()
    },
  }
  const confirm = () => Promise.resolve()
  const slow = { peers, downloadBytesPerSecond: 20 * MIB }
  await assert.rejects(
    deploy(deployOptions(image, target, slow), { progress, confirm }, interrupt.signal),
    { code: 'ERR_SI_ABORTED' },
  )
  await doDamage(join(directory, 'bulk', 'bulk-1'))
  const again = deployOptions(image, target, { peers })
  const report = await deploy(again, { progress, confirm }, scope.signal)
  assert.ok(report.resumedPieces > 0)
  return { tree, directory, notes: notes.join('\n') }
}

/** What a disk may do to a file that it had said was written. */
const DAMAGES: Readonly<Record<string, (path: string) => Promise<unknown>>> = {
  'has other bits': async (path) => {
    await using file = await open(path, 'r+')
    const byte = Buffer.alloc(1)
    // In several pieces: some may not have been fetched yet.
    for (let at = 0; at < (await file.stat()).size; at += MIB) {
      await file.read(byte, 0, 1, at)
      await file.write(Buffer.of((byte[0] ?? 0) ^ 1), 0, 1, at)
    }
  },
  'has lost its end': (path) => truncate(path, 7 * MIB),
  'is gone': (path) => rm(path),
}

for (const [damage, doDamage] of Object.entries(DAMAGES)) {
  test(`deploy() fetches the data of a recorded file again that ${damage}`, { skip }, async () => {
    await withScope(async (scope) => {
      const { tree, directory, notes } = await deployOverDamage(scope, doDamage)
      assert.match(notes, HEAL)
      assert.deepEqual(await compareTrees(tree, directory, { excludes: [] }), [])
    })
  })
}

/** What no power cut does: a script or an override of the interrupted deployment, or somebody, was there. */
const REPLACEMENTS: Readonly<
  Record<string, (path: string, bystander: string) => Promise<unknown>>
> = {
  'a link': (path, bystander) => symlink(bystander, path),
  'another name of a file': (path, bystander) => link(bystander, path),
  'a pipe that nobody reads': (path) => run('mkfifo', [path]),
}

for (const [what, replace] of Object.entries(REPLACEMENTS)) {
  test(
    `deploy() takes ${what} away that stands in the place of a file, and writes nothing through it`,
    { skip },
    async () => {
      await withScope(async (scope) => {
        const bystander = join(scope.directory, 'bystander')
        await writeFile(bystander, 'untouched')
        const { tree, directory, notes } = await deployOverDamage(scope, async (path) => {
          await rm(path)
          await replace(path, bystander)
        })
        assert.match(notes, HEAL)
        assert.deepEqual(await compareTrees(tree, directory, { excludes: [] }), [])
        assert.equal(await readFile(bystander, 'utf8'), 'untouched')
      })
    },
  )
}
