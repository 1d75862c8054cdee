// Removal: whole or not at all, latest, locks, and readers that have the files open.
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { mkdir, open, readdir, readFile, readlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { describe, test } from 'node:test'
import { parseImageName, parseImageVersion } from '../../src/repository/repository.ts'
import { withScope } from '../lab/scope.ts'
import { captureTree, makeRepository, makeTree } from './repository-sample.ts'

const skip = process.getuid?.() === 0 || process.env['CI'] === 'true' ? false : 'needs root'
const NAME = parseImageName('web')

describe('removal of images', { skip }, () => {
  test('remove() points latest to the version captured last of those left', async () => {
    await withScope(async (scope) => {
      const repository = await makeRepository(scope)
      const tree = await makeTree(scope, { file: 'x' })
      for (const version of ['9', '1', '5'])
        await captureTree(repository, tree, { name: 'web', version })
      const folder = join(repository.directory, 'images/web')
      await repository.remove(await repository.open(NAME))
      assert.equal(await readlink(join(folder, 'latest')), '1')
      await repository.remove(await repository.open(NAME, parseImageVersion('9')))
      assert.equal(await readlink(join(folder, 'latest')), '1')
      await repository.remove(await repository.open(NAME))
      assert.ok(!existsSync(folder), 'the folder of the last version is gone')
    })
  })

  test('remove() leaves the open files of a reader whole', async () => {
    await withScope(async (scope) => {
      const repository = await makeRepository(scope)
      const { image } = await captureTree(repository, await makeTree(scope, { file: 'x' }), {
        name: 'web',
        version: '1',
      })
      const before = await readFile(image.packPath)
      await using reader = await open(image.packPath)
      await repository.remove(image)
      assert.ok(!existsSync(image.directory))
      assert.deepEqual(await reader.readFile(), before)
    })
  })

  test('remove() is refused while a capture of the same name runs', async () => {
    await withScope(async (scope) => {
      const repository = await makeRepository(scope)
      const tree = await makeTree(scope, { file: 'x' })
      const { image } = await captureTree(repository, tree, { name: 'web', version: '1' })
      const draft = await repository.begin(NAME, parseImageVersion('2'))
      await assert.rejects(repository.remove(image), { code: 'ERR_SI_IMAGE_LOCKED' })
      assert.equal((await repository.open(NAME)).version, '1')
      await draft.discard()
      await repository.remove(image)
    })
  })

  test('begin() takes away what a remover that died left behind', async () => {
    await withScope(async (scope) => {
      const repository = await makeRepository(scope)
      const tree = await makeTree(scope, { file: 'x' })
      const { image } = await captureTree(repository, tree, { name: 'web', version: '1' })
      const folder = dirname(image.directory)
      await mkdir(join(folder, '.removed-0-abcd'))
      await writeFile(join(folder, '.removed-0-abcd/image.tar.zst'), 'x')
      assert.equal((await repository.list()).length, 1)
      await (await repository.begin(NAME, parseImageVersion('2'))).discard()
      assert.deepEqual((await readdir(folder)).sort(), ['.lock', '1', 'latest'])
    })
  })

  test('begin() and remove() of the last version in turns always find a folder', async () => {
    await withScope(async (scope) => {
      const repository = await makeRepository(scope)
      const tree = await makeTree(scope, { file: 'x' })
      const { image } = await captureTree(repository, tree, { name: 'web', version: '1' })
      const write = async (version: string) => {
        try {
          await (await repository.begin(NAME, parseImageVersion(version))).discard()
        } catch (error) {
          assert.equal((error as { code?: string }).code, 'ERR_SI_IMAGE_LOCKED')
        }
      }
      const writers = Array.from({ length: 20 }, (_, i) => write(`x${i}`))
      await Promise.all([repository.remove(image).catch(() => {}), ...writers])
      await (await repository.begin(NAME, parseImageVersion('3'))).discard()
    })
  })
})
