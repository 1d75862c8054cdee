// The token bucket under a clock that stands still until it is moved: exact times, exact bytes.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { createTokenBucket } from '../../../src/throttle/throttle.ts'
import { fakeClock } from '../../lab/fake-clock.ts'

const KIB = 1024

function bucketOf(bytesPerSecond: number) {
  const clock = fakeClock()
  const bucket = createTokenBucket({ bytesPerSecond, clock })
  const log: string[] = []
  const take = (name: string, bytes: number, signal?: AbortSignal) =>
    bucket.take(bytes, signal).then(
      () => log.push(`${name} at ${clock.monotonicMs()}`),
      (error: unknown) => log.push(`${name}: ${(error as { code: string }).code}`),
    )
  return { clock, bucket, log, take }
}

test('createTokenBucket() refuses a rate of 0 and one that is no number', () => {
  for (const rate of [0, -1, NaN]) assert.throws(() => bucketOf(rate), { code: 'ERR_SI_USAGE' })
})

test('the burst is what flows in 20 ms, but at least 256 KiB', () => {
  assert.equal(bucketOf(KIB).bucket.burstBytes, 256 * KIB)
  assert.equal(bucketOf(1e9).bucket.burstBytes, 20e6)
})

test('take() lets the burst pass at once and then the rate', async () => {
  const { clock, log, take } = bucketOf(256 * KIB)
  void take('a', 256 * KIB)
  void take('b', 128 * KIB)
  void take('c', 128 * KIB)
  await clock.advance(0)
  assert.deepEqual(log, ['a at 0'])
  await clock.advance(2000)
  assert.deepEqual(log, ['a at 0', 'b at 500', 'c at 1000'])
})

test('take() of more than the burst passes, and those after it wait for what it took', async () => {
  const { clock, log, take } = bucketOf(256 * KIB)
  void take('large', 1024 * KIB)
  void take('next', 1)
  await clock.advance(10_000)
  assert.equal(log[0], 'large at 0')
  assert.match(log[1] ?? '', /^next at 3000/)
})

test('a small request behind a large one waits its turn', async () => {
  const { clock, log, take } = bucketOf(256 * KIB)
  void take('burst', 256 * KIB)
  void take('large', 256 * KIB)
  void take('small', 1)
  await clock.advance(900)
  assert.deepEqual(log, ['burst at 0'])
  await clock.advance(200)
  assert.deepEqual(log.slice(1, 2), ['large at 1000'])
})

test('take() ends with its signal, takes nothing, and lets the next one go', async () => {
  const { clock, log, take } = bucketOf(256 * KIB)
  const controller = new AbortController()
  void take('burst', 256 * KIB)
  void take('given up', 256 * KIB, controller.signal)
  void take('next', 128 * KIB)
  await clock.advance(100)
  controller.abort()
  await clock.advance(900)
  assert.deepEqual(log, ['burst at 0', 'given up: ERR_SI_ABORTED', 'next at 500'])
})

test('setRate() changes the pace of those that wait already', async () => {
  const { clock, bucket, log, take } = bucketOf(256 * KIB)
  void take('burst', 256 * KIB)
  void take('next', 256 * KIB)
  await clock.advance(500)
  bucket.setRate(1024 * KIB)
  await clock.advance(500)
  assert.deepEqual(log, ['burst at 0', 'next at 625'])
  bucket.setRate(Infinity)
  void take('unlimited', 1e12)
  await clock.advance(0)
  assert.equal(log.at(-1), 'unlimited at 1000')
})

test('availableBytes() and takeNow() share the bucket with those that wait', async () => {
  const { clock, bucket, log, take } = bucketOf(256 * KIB)
  assert.equal(bucket.availableBytes(), 256 * KIB)
  bucket.takeNow(200 * KIB)
  assert.equal(bucket.availableBytes(), 56 * KIB)
  void take('waits', 120 * KIB)
  assert.equal(bucket.availableBytes(), 0)
  await clock.advance(250)
  assert.deepEqual(log, ['waits at 250'])
})

test('whenAvailable() tells once, takes nothing, and can be cancelled', async () => {
  const { clock, bucket } = bucketOf(256 * KIB)
  bucket.takeNow(256 * KIB)
  const told: number[] = []
  bucket.whenAvailable(64 * KIB, () => told.push(clock.monotonicMs()))
  bucket.whenAvailable(64 * KIB, () => told.push(-1))()
  await clock.advance(5000)
  assert.deepEqual(told, [250])
  assert.equal(bucket.availableBytes(), 256 * KIB)
})

test('no span of time sees more than the burst, the rate and the request in hand', async () => {
  const sizes = fc.array(fc.integer({ min: 1, max: 300 * KIB }), { minLength: 1, maxLength: 40 })
  await fc.assert(
    fc.asyncProperty(sizes, fc.integer({ min: KIB, max: 10_000 * KIB }), async (bytes, rate) => {
      const { clock, bucket } = bucketOf(rate)
      const passed: { atMs: number; bytes: number }[] = []
      for (const size of bytes) {
        void bucket.take(size).then(() => passed.push({ atMs: clock.monotonicMs(), bytes: size }))
      }
      await clock.advance(1e9)
      assert.equal(passed.length, bytes.length)
      const total = passed.reduce((sum, one) => sum + one.bytes, 0)
      const last = passed.at(-1)
      const spanMs = (last?.atMs ?? 0) - (passed[0]?.atMs ?? 0)
      const allowed = bucket.burstBytes + (rate * spanMs) / 1000 + (last?.bytes ?? 0)
      assert.ok(total <= allowed + 1, `${total} bytes, ${allowed} allowed`)
    }),
    { numRuns: 50 },
  )
})
