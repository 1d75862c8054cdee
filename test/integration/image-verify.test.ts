// A flipped bit anywhere is found and named: piece, chunk, files.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { open, truncate } from 'node:fs/promises'
import { describe, test } from 'node:test'
import { readManifest, verifyImage, type ManifestEntry } from '../../src/image/image.ts'
import type { ImageReference } from '../../src/repository/repository.ts'
import { withScope, type Scope } from '../lab/scope.ts'
import { captureTree, makeRepository, makeTree } from './repository-sample.ts'

const skip = process.getuid?.() === 0 || process.env['CI'] === 'true' ? false : 'needs root'
const PIECE_BYTES = 64 * 1024

async function makeImage(scope: Scope) {
  const content = Object.fromEntries(
    Array.from({ length: 12 }, (_, i) => [`file${i}`, randomBytes(50_000)]),
  )
  const tree = await makeTree(scope, content)
  const { image } = await captureTree(await makeRepository(scope), tree, {
    ...{ name: 'web', version: '1', pieceLengthBytes: PIECE_BYTES },
  })
  const entries: ManifestEntry[] = []
  const manifest = await readManifest(createReadStream(image.manifestPath), (e) => entries.push(e))
  return { image, manifest, entries }
}

async function flipBit(path: string, offset: number): Promise<void> {
  await using file = await open(path, 'r+')
  const byte = Buffer.alloc(1)
  await file.read(byte, 0, 1, offset)
  byte[0] = (byte[0] ?? 0) ^ 0x10
  await file.write(byte, 0, 1, offset)
}

const verify = ({ directory }: ImageReference, signal?: AbortSignal) =>
  verifyImage(directory, { threads: 2, signal })

describe('verification of images', { skip }, () => {
  test('verifyImage() finds nothing wrong with a good image and reads all of it', async () => {
    await withScope(async (scope) => {
      const { image, manifest } = await makeImage(scope)
      const checkedBytes = manifest.header.packBytes
      assert.deepEqual(await verify(image), {
        ...{ faults: [], pieceFaults: [], damagedFiles: [], checkedBytes },
      })
    })
  })

  test('verifyImage() names piece, chunk and files of each flipped bit of the pack', async () => {
    await withScope(async (scope) => {
      const { image, manifest, entries } = await makeImage(scope)
      const { chunks, header } = manifest
      for (let round = 0; round < 12; round++) {
        const offset = Math.floor(((round + 0.5) * header.packBytes) / 12)
        await flipBit(image.packPath, offset)
        const chunk = chunks.packOffset.findIndex(
          (start, i) => offset >= start && offset < start + (chunks.packedBytes[i] ?? 0),
        )
        const start = chunks.tarOffset[chunk] ?? 0
        const end = start + (chunks.lengthBytes[chunk] ?? 0)
        const files = entries.filter(
          ({ type, dataOffset, dataBytes }) =>
            type === 'file' && dataOffset < end && dataOffset + dataBytes > start,
        )
        const report = await verify(image)
        assert.deepEqual(
          report.pieceFaults.map(({ piece, chunks: bad }) => [piece, bad]),
          [[Math.floor(offset / PIECE_BYTES), chunk === -1 ? [] : [chunk]]],
        )
        assert.equal(report.pieceFaults[0]?.reasons.length, 2)
        assert.deepEqual(
          report.damagedFiles.map(String),
          chunk === -1 ? [] : files.map(({ path }) => String(path)),
        )
        await flipBit(image.packPath, offset)
      }
    })
  })

  test('verifyImage() tells of padding, of a short pack, and of a damaged manifest or torrent', async () => {
    await withScope(async (scope) => {
      const { image, manifest } = await makeImage(scope)
      const { chunks, header } = manifest
      const last = (chunks.firstOfPiece[1] ?? 0) - 1
      const frameEnd = (chunks.packOffset[last] ?? 0) + (chunks.packedBytes[last] ?? 0)
      if (frameEnd < PIECE_BYTES) {
        await flipBit(image.packPath, PIECE_BYTES - 1)
        const { pieceFaults, damagedFiles } = await verify(image)
        assert.deepEqual(
          pieceFaults.map(({ piece, chunks: bad }) => [piece, bad]),
          [[0, []]],
        )
        assert.deepEqual(damagedFiles, [])
        await flipBit(image.packPath, PIECE_BYTES - 1)
      }
      await flipBit(image.manifestPath, 100)
      assert.equal((await verify(image)).faults.length, 1)
      await flipBit(image.manifestPath, 100)
      await flipBit(image.torrentPath, 300)
      const { faults, pieceFaults } = await verify(image)
      assert.ok(faults.length + pieceFaults.length > 0)
      await flipBit(image.torrentPath, 300)
      await truncate(image.packPath, header.packBytes - 1)
      const short = await verify(image)
      assert.match(short.faults[0] ?? '', /image\.tar\.zst has \d+ bytes instead of \d+$/)
      assert.match(short.pieceFaults[0]?.reasons[0] ?? '', /^cannot be read: /)
    })
  })

  test('verifyImage() ends with ERR_SI_ABORTED when interrupted', async () => {
    await withScope(async (scope) => {
      const { image } = await makeImage(scope)
      const controller = new AbortController()
      const verifying = verify(image, controller.signal)
      controller.abort()
      await assert.rejects(verifying, { code: 'ERR_SI_ABORTED' })
    })
  })
})
