import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import {
  createPieceCache,
  readPieceSync,
  SPILL_NAME,
  storePiece,
} from '../../../src/deploy/piece-cache.ts'

const directory = mkdtempSync(join(tmpdir(), 'si-cache-'))
after(() => rmSync(directory, { recursive: true }))

test('a cache gives pieces back, from memory and from the unlinked file beyond it', async () => {
  const cache = createPieceCache({ pieceLengthBytes: 1000, pieceCount: 6, memorySlots: 2 })
  const piece = (index: number) => Buffer.alloc(index === 5 ? 300 : 1000, index + 1)
  storePiece(cache.share, 4, piece(4))
  storePiece(cache.share, 0, piece(0))
  storePiece(cache.share, 0, piece(0))
  assert.throws(() => storePiece(cache.share, 1, piece(1)), { code: 'ERR_SI_ABORTED' })
  cache.openSpill(directory)
  assert.deepEqual(readdirSync(directory), [])
  for (const index of [5, 2, 3]) storePiece(cache.share, index, piece(index))
  for (const index of [0, 2, 3, 4, 5]) {
    const into = Buffer.alloc(100)
    await cache.read(index, 200, into)
    assert.deepEqual(into, piece(index).subarray(200, 300))
    const start = Buffer.alloc(50)
    readPieceSync(cache.share, index, start)
    assert.deepEqual(start, piece(index).subarray(0, 50))
  }
  await assert.rejects(cache.read(1, 0, Buffer.alloc(1)), { code: 'ERR_SI_INTERNAL' })
  await cache.close()
  await cache.close()
})

test('openSpill() replaces the file of a deployment that was killed while it made it', async () => {
  writeFileSync(join(directory, SPILL_NAME), 'left over')
  const cache = createPieceCache({ pieceLengthBytes: 1000, pieceCount: 2, memorySlots: 1 })
  cache.openSpill(directory)
  assert.deepEqual(readdirSync(directory), [])
  await cache.close()
})

test('openSpill() names the file that cannot be made', async () => {
  const cache = createPieceCache({ pieceLengthBytes: 1000, pieceCount: 2, memorySlots: 1 })
  assert.throws(() => cache.openSpill(join(directory, 'none')), {
    code: 'ERR_SI_DEPLOY',
    message: /^Cannot write .*none\/\.swarmimager-pieces: ENOENT/,
  })
  await cache.close()
})
