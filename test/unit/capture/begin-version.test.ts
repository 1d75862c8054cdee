import assert from 'node:assert/strict'
import { mkdtemp, readlink, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { beginVersion } from '../../../src/capture/begin-version.ts'
import {
  openRepository,
  parseImageName,
  parseImageVersion,
  type ImageDraft,
} from '../../../src/repository/repository.ts'

const NOW = new Date('2026-11-22T14:24:48.900Z')

async function makeWish(t: TestContext) {
  const directory = await mkdtemp(join(tmpdir(), 'si-version-'))
  t.after(() => rm(directory, { recursive: true }))
  return { repository: await openRepository(directory), name: parseImageName('web') }
}

/** What a writer does at least. */
async function finish(draft: ImageDraft) {
  for (const file of ['image.tar.zst', 'manifest.jsonl.zst', 'image.torrent']) {
    await writeFile(join(draft.directory, file), '')
  }
  return draft.commit()
}

test('beginVersion() takes the next free name for a second capture within a second', async (t) => {
  const wish = await makeWish(t)
  for (const expected of ['20261122-142448', '20261122-142448-2', '20261122-142448-3']) {
    const { version, draft } = await beginVersion(wish, NOW)
    assert.equal(version, expected)
    assert.equal((await finish(draft)).version, expected)
    const link = join(wish.repository.directory, 'images/web/latest')
    assert.equal(await readlink(link), expected)
  }
})

test('beginVersion() refuses a second writer at the same time, and a named version that exists', async (t) => {
  const wish = await makeWish(t)
  const { draft } = await beginVersion(wish, NOW)
  await assert.rejects(beginVersion(wish, NOW), { code: 'ERR_SI_IMAGE_LOCKED' })
  await finish(draft)
  const version = parseImageVersion('20261122-142448')
  await assert.rejects(beginVersion({ ...wish, version }, NOW), { code: 'ERR_SI_IMAGE_EXISTS' })
})
