// Copies and moves: same bytes under the same name, another header and torrent under another one, whole or
// not at all.
import assert from 'node:assert/strict'
import { createReadStream, existsSync } from 'node:fs'
import { readdir, readFile, readlink, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { run } from '../../src/host/host.ts'
import { readManifest, readManifestHeader } from '../../src/image/image.ts'
import {
  checkImageSignature,
  copyImage,
  moveImage,
  parseImageName,
  parseImageVersion,
  type CopySigning,
  type ImageReference,
  type Repository,
} from '../../src/repository/repository.ts'
import { loadSigner, loadTrust } from '../../src/pki/pki.ts'
import { parseMetainfo } from '../../src/torrent/torrent.ts'
import { makeCertificates } from '../lab/certificates.ts'
import { withScope, type Scope } from '../lab/scope.ts'
import { captureTree, makeRepository, makeTree } from './repository-sample.ts'

const skip = process.getuid?.() === 0 || process.env['CI'] === 'true' ? false : 'needs root'
const { signal } = new AbortController()

async function makeImage(scope: Scope) {
  const repository = await makeRepository(scope)
  const tree = await makeTree(scope, {
    'etc/name': 'web',
    noise: crypto.getRandomValues(new Uint8Array(60_000)),
    '\u{e4}\n': 'x',
  })
  const { image } = await captureTree(repository, tree, { name: 'web', version: '1' })
  return { repository, image }
}

function naming(repository: Repository, name: string, version: string) {
  return {
    ...{ repository, signal, name: parseImageName(name), version: parseImageVersion(version) },
  }
}

const filesOf = async (image: ImageReference) =>
  Object.fromEntries(
    await Promise.all(
      (await readdir(image.directory)).map(
        async (file) => [file, await readFile(join(image.directory, file))] as const,
      ),
    ),
  )

/** The torrent as another program checks it: every piece of every file. */
async function checkTorrent(scope: Scope, image: ImageReference): Promise<void> {
  const { name, pieceLengthBytes, pieceHashes, files } = parseMetainfo(
    await readFile(image.torrentPath),
  )
  const parts = await Promise.all(
    files.map((file) =>
      file.isPad ? Buffer.alloc(file.lengthBytes) : readFile(join(image.directory, ...file.path)),
    ),
  )
  assert.equal(name, `${image.name}-${image.version}`)
  const all = join(scope.directory, 'torrent-content')
  await writeFile(all, Buffer.concat(parts))
  const script = 'split -b "$1" --filter=sha1sum "$2"'
  const { stdout } = await run('sh', ['-c', script, 'sh', String(pieceLengthBytes), all])
  assert.equal(stdout.replace(/ .*\n/g, ''), Buffer.from(pieceHashes).toString('hex'))
}

describe('copies of images', { skip }, () => {
  test('copyImage() into another repository keeps every byte', async () => {
    await withScope(async (scope) => {
      const { image } = await makeImage(scope)
      await writeFile(image.signaturePath, 'a signature')
      const other = await makeRepository(scope)
      const copy = await copyImage(image, { ...naming(other, 'web', '1'), isLinked: false })
      assert.deepEqual(await filesOf(copy), await filesOf(image))
      assert.equal(await readlink(join(other.directory, 'images/web/latest')), '1')
    })
  })

  test('copyImage() under another name changes header and torrent only, and drops the signature', async () => {
    await withScope(async (scope) => {
      const { repository, image } = await makeImage(scope)
      await writeFile(image.signaturePath, 'a signature')
      const copy = await copyImage(image, { ...naming(repository, 'shop', '7'), isLinked: false })
      const read = async ({ manifestPath }: ImageReference) => {
        const entries: unknown[] = []
        const manifest = await readManifest(createReadStream(manifestPath), (e) => entries.push(e))
        return { ...manifest, entries }
      }
      const [before, after] = [await read(image), await read(copy)]
      assert.deepEqual(after, {
        ...before,
        header: { ...before.header, name: 'shop', version: '7' },
      })
      assert.deepEqual(await readFile(copy.packPath), await readFile(image.packPath))
      assert.ok(!existsSync(copy.signaturePath))
      const infoHash = async ({ torrentPath }: ImageReference) =>
        parseMetainfo(await readFile(torrentPath)).infoHash
      assert.notEqual(await infoHash(copy), await infoHash(image))
      await checkTorrent(scope, copy)
    })
  })

  test('copyImage() signs a copy for whoever believes the original, and refuses a bad one', async () => {
    await withScope(async (scope) => {
      const { repository, image } = await makeImage(scope)
      const pki = join(scope.directory, 'pki')
      await makeCertificates(pki)
      const files = { certificateFile: join(pki, 'signer.pem'), keyFile: join(pki, 'signer.key') }
      const signer = await loadSigner(files)
      const trustFiles = [join(pki, 'ca.pem')]
      const trust = await loadTrust({ trustFiles, crlFiles: [], allowUnsigned: true })
      const copy = (name: string, signing: CopySigning) =>
        copyImage(image, { ...naming(repository, name, '1'), isLinked: false, signing })
      await writeFile(image.signaturePath, await signer.sign(image.manifestPath))
      const good = await copy('shop', { signer, trust })
      assert.equal((await checkImageSignature(good, trust)).signer, 'server')
      await checkTorrent(scope, good)
      const nobody = { anchors: [], crls: [], allowUnsigned: true }
      const code = 'ERR_SI_UNTRUSTED'
      await assert.rejects(copy('a', { signer, trust: nobody }), { code })
      await writeFile(image.signaturePath, await signer.sign(image.torrentPath))
      await assert.rejects(copy('a', { signer, trust }), { code })
      assert.deepEqual(await repository.versions(parseImageName('a')), [])
    })
  })

  test('copyImage() with isLinked shares the pack', async () => {
    await withScope(async (scope) => {
      const { repository, image } = await makeImage(scope)
      const copy = await copyImage(image, { ...naming(repository, 'shop', '1'), isLinked: true })
      assert.equal((await stat(copy.packPath)).ino, (await stat(image.packPath)).ino)
      await repository.remove(image)
      assert.equal((await readManifestHeader(createReadStream(copy.manifestPath))).name, 'shop')
      assert.ok((await stat(copy.packPath)).size > 0)
    })
  })

  test('copyImage() of an older version leaves latest with the newer', async () => {
    await withScope(async (scope) => {
      const { repository, image } = await makeImage(scope)
      const tree = await makeTree(scope, { file: 'x' })
      await captureTree(repository, tree, { name: 'shop', version: '5' })
      await copyImage(image, { ...naming(repository, 'shop', '9'), isLinked: false })
      assert.equal((await repository.open(parseImageName('shop'))).version, '5')
    })
  })

  test('copyImage() that is interrupted leaves nothing behind', async () => {
    await withScope(async (scope) => {
      const { repository, image } = await makeImage(scope)
      const controller = new AbortController()
      const other = await makeRepository(scope)
      const options = {
        ...naming(other, 'web', '1'),
        ...{ isLinked: false, signal: controller.signal, onBytes: () => controller.abort() },
      }
      await assert.rejects(copyImage(image, options))
      assert.deepEqual(await readdir(join(other.directory, 'images/web')), ['.lock'])
      await assert.rejects(
        copyImage(image, { ...naming(repository, 'web', '1'), isLinked: false }),
        {
          code: 'ERR_SI_IMAGE_EXISTS',
        },
      )
    })
  })

  test('moveImage() to another file system keeps every byte and removes the original', async () => {
    await withScope(async (scope) => {
      const { repository, image } = await makeImage(scope)
      const before = await filesOf(image)
      const mount = join(scope.directory, 'other')
      await run('mkdir', [mount])
      await run('mount', ['-t', 'tmpfs', 'tmpfs', mount])
      scope.defer('mount', () => run('umount', [mount]))
      const { openRepository } = await import('../../src/repository/repository.ts')
      const other = await openRepository(mount)
      const moved = await moveImage(image, repository, naming(other, 'web', '1'))
      assert.deepEqual(await filesOf(moved), before)
      assert.ok(!existsSync(image.directory))
    })
  })

  test('moveImage() goes on where it was interrupted, and refuses what is another image', async () => {
    await withScope(async (scope) => {
      const { repository, image } = await makeImage(scope)
      await copyImage(image, { ...naming(repository, 'shop', '1'), isLinked: true })
      const moved = await moveImage(image, repository, naming(repository, 'shop', '1'))
      assert.equal(moved.name, 'shop')
      assert.ok(!existsSync(image.directory))
      const tree = await makeTree(scope, { file: 'x' })
      const { image: other } = await captureTree(repository, tree, { name: 'web', version: '1' })
      await assert.rejects(moveImage(other, repository, naming(repository, 'shop', '1')), {
        code: 'ERR_SI_IMAGE_EXISTS',
      })
      await assert.rejects(moveImage(other, repository, naming(repository, 'web', '1')), {
        code: 'ERR_SI_IMAGE_EXISTS',
      })
      assert.ok(existsSync(other.directory))
    })
  })
})
