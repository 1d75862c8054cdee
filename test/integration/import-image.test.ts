// Foreign archives: what GNU tar, others and container tools write, and what nobody should.
import assert from 'node:assert/strict'
import { createReadStream, existsSync } from 'node:fs'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { capture } from '../../src/capture/capture.ts'
import { silentProgress } from '../../src/core/core.ts'
import { run } from '../../src/host/host.ts'
import { diffImages, readManifestHeader } from '../../src/image/image.ts'
import { parseImageName, parseImageVersion } from '../../src/repository/repository.ts'
import { writeNastyContent } from '../lab/golden-content.ts'
import { withScope } from '../lab/scope.ts'
import { captureTree, makeRepository, makeTree } from './repository-sample.ts'

import {
  assertNothingLeft,
  importInto,
  makeTar,
  namesOf,
  signal,
  skip,
  type Member,
} from './import-sample.ts'

describe('imports', { skip }, () => {
  test('importImage() of an exported image gives the same image', async () => {
    await withScope(async (scope) => {
      const repository = await makeRepository(scope)
      const tree = join(scope.directory, 'nasty')
      await writeNastyContent(scope, tree)
      const { image } = await captureTree(repository, tree, { name: 'web', version: '1' })
      const imported = await importInto(repository, streamOf('zstd', ['-dcq', image.packPath]))
      const { differences } = await diffImages(image, imported)
      assert.deepEqual(
        differences.map(({ kind, path, changes }) => [kind, String(path), changes]),
        [],
      )
      await assertNothingLeft(repository)
    })
  })

  for (const [option, suffix] of [
    ['', 'tar'],
    ['--gzip', 'tgz'],
    ['--zstd', 'tzst'],
    ['--xz', 'txz'],
  ] as const) {
    test(`importImage() reads ${suffix} of other formats and names without ./`, async () => {
      await withScope(async (scope) => {
        const repository = await makeRepository(scope)
        const tree = await makeTree(scope, { 'etc/name': 'x', 'a b/c': 'y', link: '->etc/name' })
        const archive = join(scope.directory, suffix)
        const format = option === '--gzip' ? '--format=gnu' : '--format=ustar'
        const names = ['etc', 'a b', 'link']
        await run('tar', [
          '-c',
          format,
          ...(option === '' ? [] : [option]),
          '-f',
          archive,
          '-C',
          tree,
          ...names,
        ])
        const image = await importInto(repository, archive)
        assert.deepEqual(await namesOf(image), ['a b', 'a b/c', 'etc', 'etc/name', 'link'])
        assert.equal(
          (await readManifestHeader(createReadStream(image.manifestPath))).source.host,
          archive,
        )
      })
    })
  }

  const HOSTILE: readonly (readonly [what: string, entries: readonly Member[]])[] = [
    ['a name with ..', [{ name: '../../evil', type: 'file' }]],
    [
      'a file through a link that leads out',
      [
        { name: 'out', type: 'symlink', linkname: '/tmp' },
        { name: 'out/si-import-evil', type: 'file' },
      ],
    ],
    ['a hard link to what is not in it', [{ name: 'h', type: 'link', linkname: '/etc/passwd' }]],
  ]
  for (const [what, entries] of HOSTILE) {
    test(`importImage() refuses ${what} and leaves nothing behind`, async () => {
      await withScope(async (scope) => {
        const repository = await makeRepository(scope)
        const archive = await makeTar(scope, entries)
        await assert.rejects(importInto(repository, archive), { code: 'ERR_SI_TAR_FORMAT' })
        assert.deepEqual(await repository.list(), [])
        await assertNothingLeft(repository)
        assert.ok(!existsSync('/tmp/si-import-evil'))
      })
    })
  }

  test('importImage() refuses what is cut short, empty, or no archive', async () => {
    await withScope(async (scope) => {
      const repository = await makeRepository(scope)
      const tree = await makeTree(scope, { noise: crypto.getRandomValues(new Uint8Array(60_000)) })
      const archive = join(scope.directory, 'a.tgz')
      await run('tar', ['-czf', archive, '-C', tree, '.'])
      const bytes = await readFile(archive)
      for (const content of [
        bytes.subarray(0, 30_000),
        Buffer.alloc(0),
        Buffer.from('hello, world'),
      ]) {
        await writeFile(archive, content)
        await assert.rejects(importInto(repository, archive), { code: 'ERR_SI_TAR_FORMAT' })
      }
      await assert.rejects(importInto(repository, join(scope.directory, 'none')), {
        code: 'ERR_SI_USAGE',
      })
      await assert.rejects(importInto(repository, tree), { code: 'ERR_SI_USAGE' })
      await assertNothingLeft(repository)
    })
  })

  test('importImage() takes away what an import that died left behind', async () => {
    await withScope(async (scope) => {
      const repository = await makeRepository(scope)
      const dead = join(repository.directory, '.import-dead')
      await mkdir(dead)
      await writeFile(join(dead, 'lock'), '')
      const archive = await makeTar(scope, [{ name: 'file', type: 'file' }])
      assert.deepEqual(await namesOf(await importInto(repository, archive)), ['file'])
      await assertNothingLeft(repository)
    })
  })

  test('importImage() leaves the rules of captures as they were, and remembers no files', async () => {
    await withScope(async (scope) => {
      const repository = await makeRepository(scope)
      const tree = await makeTree(scope, { 'proc/x': 'x', 'srv/x': 'x', file: 'x' })
      const archive = await makeTar(scope, [{ name: 'file', type: 'file' }])
      const recapture = async (version: string, excludes: readonly string[] = []) => {
        const source = { type: 'root', directory: tree } as const
        const image = { name: parseImageName('web'), version: parseImageVersion(version) }
        const how = { excludes, useDefaultExcludes: true, zstdLevel: 1, threads: 1 }
        const options = { source, repository, ...image, ...how }
        return namesOf((await capture(options, silentProgress, signal)).image)
      }
      const imported = await importInto(repository, archive, { version: 'a' })
      assert.deepEqual((await readdir(imported.directory)).sort(), [
        ...['image.tar.zst', 'image.torrent', 'manifest.jsonl.zst'],
      ])
      assert.deepEqual(await recapture('b'), ['file', 'proc', 'srv', 'srv/x'])
      assert.deepEqual(await recapture('c', ['/srv']), ['file', 'proc'])
      await importInto(repository, archive, { version: 'd' })
      assert.deepEqual(await recapture('e'), ['file', 'proc'])
    })
  })
})

/** The output of a program, as a pipe gives it. */
async function* streamOf(program: string, args: readonly string[]): AsyncGenerator<Uint8Array> {
  const { start } = await import('../../src/host/host.ts')
  const child = start(program, args, { stdio: ['ignore', 'pipe', 'pipe'], signal })
  yield* (child.process.stdout ?? []) as AsyncIterable<Uint8Array>
}
