// Image layouts as container tools write them (OCI image specification), and as nobody should.
import assert from 'node:assert/strict'
import { createReadStream } from 'node:fs'
import { chmod, mkdir, readdir, readFile, stat, utimes, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { describe, test } from 'node:test'
import { run } from '../../src/host/host.ts'
import { readManifestHeader } from '../../src/image/image.ts'
import { withScope } from '../lab/scope.ts'
import { makeLayout } from './oci-sample.ts'
import { makeRepository, makeTree } from './repository-sample.ts'

import {
  assertNothingLeft,
  entriesOf,
  importInto,
  makeTar,
  namesOf,
  skip,
} from './import-sample.ts'

describe('imports of layouts', { skip }, () => {
  test('importImage() of a layout applies layers, whiteouts and opaque directories in order', async () => {
    await withScope(async (scope) => {
      const repository = await makeRepository(scope)
      const layout = await makeLayout(scope)
      const base = await makeTree(scope, {
        ...{ 'etc/a': '1', 'etc/b': '1', 'opt/old': '1', 'var/keep': '1', 'var/x/y': '1' },
        ...{ 'gone/x': '1', 'turn/x': '1', file: '1' },
      })
      await chmod(join(base, 'etc'), 0o700)
      await utimes(join(base, 'etc'), 1, 1_000_000_000)
      const upper = await makeTree(scope, {
        ...{ 'etc/a': '2', 'etc/.wh.b': '', 'opt/.wh..wh..opq': '', 'opt/new': '2' },
        ...{ '.wh.gone': '', turn: 'now a file', 'file/x': '2', 'new/deep/.wh.none': '' },
      })
      const all = async (tree: string) =>
        (await run('find', [tree, '-mindepth', '1', '-printf', '%P\\n'])).stdout
          .trim()
          .split('\n')
          .sort()
      const first = await layout.layer(base, await all(base), 'gzip')
      // The upper layer does not name its directories but opt: what it implies must not change etc.
      const names = (await all(upper)).filter((name) => !['etc', 'new', 'new/deep'].includes(name))
      const second = await layout.layer(upper, names, 'zstd')
      await layout.index([await layout.image([first, second])])
      const image = await importInto(repository, layout.directory)
      assert.deepEqual(await namesOf(image), [
        ...['etc', 'etc/a', 'file', 'file/x', 'new', 'new/deep', 'opt', 'opt/new'],
        ...['turn', 'var', 'var/keep', 'var/x', 'var/x/y'],
      ])
      const entries = await entriesOf(image)
      assert.equal(entries.get('etc')?.mode, 0o700)
      assert.equal(entries.get('etc')?.mtimeNs, 1_000_000_000_000_000_000n)
      assert.equal(entries.get('turn')?.type, 'file')
      await assertNothingLeft(repository)
    })
  })

  test('importImage() of a layout cannot be led out of its tree by a link of a lower layer', async () => {
    await withScope(async (scope) => {
      const repository = await makeRepository(scope)
      const layout = await makeLayout(scope)
      const outside = join(scope.directory, 'outside')
      await mkdir(outside)
      await writeFile(join(outside, 'victim'), 'x')
      const lower = await makeTree(scope, { evil: `->${outside}` })
      const upper = await makeTree(scope, { 'evil/file': 'x', 'evil/.wh.victim': '' })
      const layers = [
        await layout.layer(lower, ['evil']),
        await layout.layer(upper, ['evil/file', 'evil/.wh.victim']),
      ]
      await layout.index([await layout.image(layers)])
      const image = await importInto(repository, layout.directory)
      assert.deepEqual(await namesOf(image), ['evil', 'evil/file'])
      assert.deepEqual(await readdir(outside), ['victim'])
    })
  })

  test('importImage() of a layout makes hard links to files of the layers below', async () => {
    await withScope(async (scope) => {
      const repository = await makeRepository(scope)
      const layout = await makeLayout(scope)
      const base = await makeTree(scope, { 'lib/a': 'content', 'lib/gone': 'hidden later' })
      await utimes(join(base, 'lib'), 1, 1_000_000_000)
      const upper = await makeTree(scope, { 'lib/.wh.gone': '', 'opt/': '' })
      const link = (target: string, path: string) => run('ln', [join(upper, target), path])
      for (const [target, path] of [
        ['lib/a', 'opt/b'],
        ['lib/gone', 'new/c'],
      ] as const) {
        await mkdir(join(upper, dirname(path)), { recursive: true })
        await writeFile(join(upper, target), '')
        await link(target, join(upper, path))
      }
      await link('opt/b', join(upper, 'opt/d'))
      await utimes(join(upper, 'opt'), 1, 1_100_000_000)
      // GNU tar makes links of further names; the first ones are then taken out again.
      const names = ['lib/a', 'lib/gone', 'lib/.wh.gone', 'opt', 'new/c', 'opt/b', 'opt/d']
      const second = await layout.layer(upper, names, 'gzip', ['lib/a', 'lib/gone'])
      const all = ['lib', 'lib/a', 'lib/gone']
      await layout.index([await layout.image([await layout.layer(base, all), second])])
      const image = await importInto(repository, layout.directory)
      assert.deepEqual(await namesOf(image), [
        'lib',
        'lib/a',
        'new',
        'new/c',
        'opt',
        'opt/b',
        'opt/d',
      ])
      const entries = await entriesOf(image)
      const links = ['lib/a', 'opt/b', 'opt/d'].map((name) => String(entries.get(name)?.linkTarget))
      assert.deepEqual(links, ['null', 'lib/a', 'lib/a'])
      assert.equal(entries.get('new/c')?.sizeBytes, 'hidden later'.length)
      assert.equal(entries.get('lib')?.mtimeNs, 1_000_000_000_000_000_000n)
      assert.equal(entries.get('opt')?.mtimeNs, 1_100_000_000_000_000_000n)
      await assertNothingLeft(repository)
    })
  })

  test('importImage() of a layout makes no hard link to what lies outside or in no layer', async () => {
    await withScope(async (scope) => {
      const repository = await makeRepository(scope)
      const layout = await makeLayout(scope)
      const outside = join(scope.directory, 'outside')
      await mkdir(outside)
      await writeFile(join(outside, 'victim'), 'x')
      const base = await layout.layer(await makeTree(scope, { evil: `->${outside}` }), ['evil'])
      for (const target of ['evil/victim', '../../../outside/victim', 'none']) {
        const tar = await makeTar(scope, [{ name: 'link', type: 'link', linkname: target }])
        const upper = await layout.stored(await readFile(tar))
        await layout.index([await layout.image([base, upper])])
        await assert.rejects(importInto(repository, layout.directory), {
          code: 'ERR_SI_TAR_FORMAT',
          message: new RegExp(
            `hard link link points to ${target}: no layer below brings that file`,
          ),
        })
      }
      assert.equal((await stat(join(outside, 'victim'))).nlink, 1)
      await assertNothingLeft(repository)
    })
  })

  test('importImage() chooses the platform, and names those there are', async () => {
    await withScope(async (scope) => {
      const repository = await makeRepository(scope)
      const layout = await makeLayout(scope)
      const image = async (architecture: string) => {
        const tree = await makeTree(scope, { [architecture]: 'x' })
        return layout.image([await layout.layer(tree, [architecture])], architecture)
      }
      const attestation = {
        ...(await layout.blob(Buffer.from('{}'))),
        platform: { os: 'unknown', architecture: 'unknown' },
      }
      await layout.index([await image('amd64'), await image('arm64'), attestation])
      const imported = await importInto(repository, layout.directory, { platform: 'linux/arm64' })
      assert.deepEqual(await namesOf(imported), ['arm64'])
      const { source } = await readManifestHeader(createReadStream(imported.manifestPath))
      assert.equal(source.architecture, 'arm64')
      await assert.rejects(
        importInto(repository, layout.directory, { platform: 'linux/mips', version: '2' }),
        {
          code: 'ERR_SI_USAGE',
          hint: 'Choose one of its platforms with --platform: linux/amd64, linux/arm64',
        },
      )
    })
  })

  test('importImage() refuses a layer whose digest, size or content is another', async () => {
    await withScope(async (scope) => {
      const repository = await makeRepository(scope)
      const layout = await makeLayout(scope)
      const tree = await makeTree(scope, { file: 'x' })
      const layer = await layout.layer(tree, ['file'])
      await layout.index([await layout.image([{ ...layer, diffId: `sha256:${'0'.repeat(64)}` }])])
      await assert.rejects(importInto(repository, layout.directory), { code: 'ERR_SI_INTEGRITY' })
      await layout.index([await layout.image([layer])])
      const blob = join(layout.directory, 'blobs/sha256', layer.descriptor.digest.slice(7))
      const bytes = await readFile(blob)
      bytes.write('y', 512)
      await writeFile(blob, bytes)
      await assert.rejects(importInto(repository, layout.directory), { code: 'ERR_SI_INTEGRITY' })
      await writeFile(blob, bytes.subarray(0, -512))
      await assert.rejects(importInto(repository, layout.directory), { code: 'ERR_SI_INTEGRITY' })
      assert.deepEqual(await repository.list(), [])
      await assertNothingLeft(repository)
    })
  })
})
