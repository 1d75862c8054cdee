// Readers while a writer publishes.
import assert from 'node:assert/strict'
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { IMAGE_FILES } from '../../../src/image/image.ts'
import {
  openRepository,
  parseImageName,
  parseImageVersion,
} from '../../../src/repository/repository.ts'

test('open() finds a whole image at every moment while versions are published', async (t) => {
  const root = await mkdtemp(join(tmpdir(), 'si-publish-'))
  t.after(() => rm(root, { recursive: true }))
  const [name, versions] = [parseImageName('web'), 20]
  const writer = await openRepository(root)
  const publish = async (version: number) => {
    const draft = await writer.begin(name, parseImageVersion(String(version)))
    const { manifest, pack, torrent } = IMAGE_FILES
    for (const file of [pack, manifest, torrent]) {
      await writeFile(join(draft.directory, file), String(version))
    }
    await draft.commit()
  }
  await publish(0)
  let isDone = false
  const seen: number[] = []
  const read = async () => {
    const reader = await openRepository(root)
    while (!isDone) {
      const latest = await reader.open(name)
      for (const path of [latest.packPath, latest.manifestPath, latest.torrentPath]) {
        assert.equal((await stat(path)).size, latest.version.length)
      }
      seen.push(Number(latest.version))
      for (const image of await reader.list()) await stat(image.packPath)
    }
  }
  const reading = Promise.all([read(), read()])
  for (let version = 1; version <= versions; version++) await publish(version)
  isDone = true
  await reading
  assert.ok(seen.length > versions)
  assert.equal((await writer.open(name)).version, String(versions))
})
