// Upload and download limits over real sockets. Speed is asserted in one direction only: a limited
// transfer takes at least as long as its bytes need.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createLab, within, type GetOptions, type SeedOptions } from './swarm-lab.ts'

const LIMIT = { timeout: 30_000 }
const SIZE_BYTES = 3 * 2 ** 20
const RATE = 2 * 2 ** 20
const BURST_BYTES = 256 * 1024

/** Milliseconds that a transfer of everything from one seeder takes. */
async function transferMs(seed: Partial<SeedOptions>, get: Partial<GetOptions>): Promise<number> {
  await using lab = await createLab({ sizeBytes: SIZE_BYTES, pieceLengthBytes: 512 * 1024 })
  await using seeder = await lab.seed(seed)
  const startMs = performance.now()
  await using getter = await lab.get({ peers: [seeder.address], ...get })
  await within(getter.done, 'the limited download')
  const durationMs = performance.now() - startMs
  assert.deepEqual(await getter.file(), lab.content)
  return durationMs
}

const LEAST_MS = ((SIZE_BYTES - BURST_BYTES) / RATE) * 1000

test('a limited upload takes at least as long as its bytes need', LIMIT, async () => {
  const durationMs = await transferMs({ uploadBytesPerSecond: RATE }, {})
  assert.ok(durationMs >= LEAST_MS * 0.98, `${durationMs} ms, at least ${LEAST_MS} ms are needed`)
})

test('a limited download takes at least as long as its bytes need', LIMIT, async () => {
  const durationMs = await transferMs({}, { downloadBytesPerSecond: RATE })
  assert.ok(durationMs >= LEAST_MS * 0.98, `${durationMs} ms, at least ${LEAST_MS} ms are needed`)
})

test('a limited download completes with one slot', LIMIT, async () => {
  await transferMs({}, { downloadBytesPerSecond: RATE, slots: 1 })
})

test('close() does not wait for an upload that its limit holds back', LIMIT, async () => {
  await using lab = await createLab({ sizeBytes: SIZE_BYTES, pieceLengthBytes: 512 * 1024 })
  await using seeder = await lab.seed({ uploadBytesPerSecond: 16 * 1024 })
  await using getter = await lab.get({ peers: [seeder.address] })
  while (getter.torrent.stats().downloadedBytes === 0) {
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  await within(seeder.swarm.close(), 'the end of the seeder', 2000)
  assert.deepEqual(seeder.notes, [])
})
