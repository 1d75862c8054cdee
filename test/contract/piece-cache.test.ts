// The store of pieces kept for neighbours: some in memory, the rest in a file.
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { createPieceCache, storePiece } from '../../src/deploy/piece-cache.ts'
import { parseMetainfo } from '../../src/torrent/torrent.ts'
import { noise, torrentOf } from '../integration/swarm-lab.ts'
import { contentOf, describePieceStore } from './piece-store.ts'

const PIECE = 32768
const content = noise(5 * PIECE - 1000)
const metainfo = parseMetainfo(torrentOf(content, PIECE))

async function openCache() {
  const directory = await mkdtemp(join(tmpdir(), 'si-cache-'))
  const { pieceCount } = metainfo
  const store = createPieceCache({ pieceLengthBytes: PIECE, pieceCount, memorySlots: 2 })
  store.openSpill(directory)
  for (const index of [3, 1, 0, 4, 2]) {
    storePiece(store.share, index, content.subarray(index * PIECE, (index + 1) * PIECE))
  }
  return {
    ...{ store, content, metainfo },
    async [Symbol.asyncDispose]() {
      await store.close()
      await rm(directory, { recursive: true })
    },
  }
}

describePieceStore('createPieceCache()', openCache)

test('createPieceCache() always tells the place of a piece that is kept in memory', async () => {
  await using subject = await openCache()
  const spans = (await subject.store.locate(3, 100, 1000)) ?? []
  assert.deepEqual(contentOf(spans), content.subarray(3 * PIECE + 100, 3 * PIECE + 1100))
  assert.ok(spans.every(({ isMemory }) => isMemory))
})

test('createPieceCache() tells no place of a piece that is not kept', async () => {
  const cache = createPieceCache({ pieceLengthBytes: PIECE, pieceCount: 1, memorySlots: 1 })
  await assert.rejects(cache.locate(0, 0, 1), { code: 'ERR_SI_INTERNAL' })
  await cache.close()
})
