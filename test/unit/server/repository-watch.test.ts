// Changes of the repository are noticed, one scan at a time.
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import {
  openRepository,
  parseImageName,
  parseImageVersion,
  type Repository,
} from '../../../src/repository/repository.ts'
import { silentLog } from '../../../src/server/log.ts'
import { watchRepository } from '../../../src/server/repository-watch.ts'
import { waitFor } from '../../lab/scope.ts'

const DEADLINE_MS = 5000

test('watchRepository() notices new names, new versions and removed ones', async (t) => {
  const repository = await open(t)
  let versions: string[] = []
  const watch = await watchRepository(
    repository,
    (images) => {
      versions = images.map(({ name, version }) => `${name} ${version}`)
      return Promise.resolve()
    },
    { log: silentLog },
  )
  t.after(() => watch.close())
  await watch.rescan()
  assert.deepEqual(versions, [])
  const expect = (wanted: readonly string[]) =>
    waitFor(`seeing ${wanted.join(', ')}`, () => versions.join() === wanted.join(), {
      deadlineMs: DEADLINE_MS,
    })
  await put(repository, 'web', '1')
  await expect(['web 1'])
  await put(repository, 'web', '2')
  await expect(['web 1', 'web 2'])
  await rm(join(repository.directory, 'images/web/1'), { recursive: true })
  await expect(['web 2'])
  await rm(join(repository.directory, 'images/web'), { recursive: true })
  await expect([])
  await put(repository, 'web', '3') // a new folder under the old name
  await expect(['web 3'])
})

test('watchRepository() rescans at intervals where no change is announced', async (t) => {
  const repository = await open(t)
  let delayMs = 0
  let fire = () => {}
  let scans = 0
  const watch = await watchRepository(
    repository,
    () => {
      scans++
      return Promise.resolve()
    },
    {
      log: silentLog,
      clock: {
        monotonicMs: () => 0,
        now: () => new Date(0),
        schedule(delay, callback) {
          delayMs = delay
          fire = callback
          return () => {}
        },
      },
    },
  )
  await watch.rescan()
  assert.equal(delayMs, 10_000)
  fire()
  await waitFor('a second scan', () => scans === 2, { deadlineMs: DEADLINE_MS })
  await watch.close()
  await watch.rescan()
  assert.equal(scans, 2)
})

test('watchRepository() goes on after a scan that failed', async (t) => {
  const repository = await open(t)
  const warnings: string[] = []
  let calls = 0
  const watch = await watchRepository(
    repository,
    () => (calls++ === 0 ? Promise.reject(new Error('boom')) : Promise.resolve()),
    { log: { info() {}, warn: (_fields, message) => warnings.push(message) } },
  )
  t.after(() => watch.close())
  await watch.rescan()
  await watch.rescan()
  assert.deepEqual(warnings, ['Cannot read the repository: boom'])
  assert.equal(calls, 2)
})

async function open(t: TestContext): Promise<Repository> {
  const directory = await mkdtemp(join(tmpdir(), 'si-watch-'))
  t.after(() => rm(directory, { recursive: true, force: true }))
  await mkdir(join(directory, 'images'))
  return openRepository(directory)
}

async function put(repository: Repository, name: string, version: string): Promise<void> {
  const draft = await repository.begin(parseImageName(name), parseImageVersion(version))
  for (const part of ['image.tar.zst', 'manifest.jsonl.zst', 'image.torrent']) {
    await writeFile(join(draft.directory, part), '')
  }
  await draft.commit()
}
