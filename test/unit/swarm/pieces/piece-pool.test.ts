// Piece workers: jobs, errors across threads, ends.
import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { isSiError } from '../../../../src/core/core.ts'
import { createPiecePool, createSlab, type PiecePool } from '../../../../src/swarm/swarm.ts'
import { PieceWaiters } from '../../../../src/swarm/piece-waiters.ts'

const ENTRY = new URL('../../../integration/swarm-worker.ts', import.meta.url)

async function withPool(body: (pool: PiecePool, path: string) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'si-pool-'))
  const path = join(directory, 'file')
  await writeFile(path, '')
  const workerData = {
    ...{ path, pieceLengthBytes: 8, pieceHashes: new Uint8Array(20), delayMs: 0 },
    ...{ brokenPiece: -1, fatalPiece: 5 },
  }
  const slab = createSlab({ slotBytes: 8, slots: 2 })
  const pool = createPiecePool({ entry: ENTRY, workerData, threads: 2, slab })
  try {
    await body(pool, path)
  } finally {
    await pool.close()
    await rm(directory, { recursive: true })
  }
}

test('a piece pool runs tasks, hands workerData on, and checks pieces in the slab', async () => {
  await withPool(async (pool, path) => {
    assert.equal(await pool.runTask('double', 21), 42)
    assert.equal(await pool.runTask('data', undefined), path)
    const results = Array.from({ length: 50 }, (_, index) => pool.runTask('double', index))
    assert.deepEqual(
      await Promise.all(results),
      results.map((_, index) => index * 2),
    )
    await pool.broadcast('double', 1)
    assert.equal(await pool.checkPiece(0, 1, 8), 'bad')
  })
})

test('a SiError keeps code, message and hint on its way out of a worker', async () => {
  await withPool(async (pool) => {
    await assert.rejects(pool.runTask('fail', undefined), (error) => {
      assert.ok(isSiError(error, 'ERR_SI_DEPLOY'))
      assert.deepEqual([error.message, error.hint], ['Cannot do it', 'Do something else'])
      return true
    })
    await assert.rejects(pool.broadcast('fail', undefined), (error) =>
      isSiError(error, 'ERR_SI_DEPLOY'),
    )
    await assert.rejects(pool.runTask('none', undefined), /No worker task "none"/)
  })
})

test('a worker that dies fails all jobs, now and later', async () => {
  await withPool(async (pool) => {
    const broken = (error: unknown) => isSiError(error, 'ERR_SI_SWARM')
    await assert.rejects(pool.checkPiece(5, 0, 8), broken)
    await assert.rejects(pool.runTask('double', 1), broken)
  })
})

test('a pool whose module cannot be loaded says so', async () => {
  const slab = createSlab({ slotBytes: 8, slots: 1 })
  const entry = new URL('no-such-module.ts', import.meta.url)
  const pool = createPiecePool({ entry, workerData: null, threads: 1, slab })
  await assert.rejects(pool.runTask('x', null), /A piece worker broke down: .*no-such-module/)
  await pool.close()
})

test('close() lets begun work end and refuses what comes later', async () => {
  await withPool(async (pool) => {
    const begun = pool.runTask('double', 4)
    const closed = pool.close()
    assert.equal(await begun, 8)
    await closed
    await assert.rejects(pool.runTask('double', 1), (error) => isSiError(error, 'ERR_SI_ABORTED'))
  })
})

test('PieceWaiters resolves when the last piece is done, at once when all are', async () => {
  const waiters = new PieceWaiters()
  await waiters.wait([1, 2], () => true)
  const waiting = waiters.wait([1, 2, 3], (index) => index === 3)
  waiters.done(2)
  waiters.done(1)
  await waiting
  const failing = waiters.wait([9], () => false)
  waiters.fail(new Error('first'))
  waiters.fail(new Error('second'))
  await assert.rejects(failing, /first/)
  await assert.rejects(
    waiters.wait([1], () => true),
    /first/,
  )
})
