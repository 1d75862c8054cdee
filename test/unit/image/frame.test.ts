import assert from 'node:assert/strict'
import { Buffer } from 'node:buffer'
import { randomFillSync } from 'node:crypto'
import { test } from 'node:test'
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import fc from 'fast-check'
import { encodeFrame, FrameEncoder } from '../../../src/image/frame.ts'
import { statedContentBytes } from '../../../src/image/zstd-frame-header.ts'
import { FrameDecoder } from '../../../src/image/frame-decoder.ts'
import { frameFits, splitToFit } from '../../../src/image/frame-split.ts'
import { frameBoundBytes, writeSkippableFrame } from '../../../src/image/pack-layout.ts'

test('FrameEncoder makes the frames that zstd makes of each chunk alone', async () => {
  const encoder = new FrameEncoder(3)
  const data = fc.oneof(
    fc.uint8Array({ minLength: 1, maxLength: 3000 }),
    fc.integer({ min: 1, max: 300_000 }).map((length) => new Uint8Array(length)),
    fc.integer({ min: 1, max: 300_000 }).map((n) => randomFillSync(new Uint8Array(n))),
  )
  await fc.assert(
    fc.asyncProperty(data, async (plain) => {
      const into = Buffer.alloc(frameBoundBytes(plain.length))
      const frame = into.subarray(0, encoder.encode(plain, into))
      assert.ok(zstdDecompressSync(frame).equals(plain))
      assert.ok(frame.equals(await encodeFrame(plain, 3)))
    }),
    { numRuns: 60 },
  )
  encoder.close()
})

test('FrameEncoder refuses memory that is too small for the frame', () => {
  const encoder = new FrameEncoder(3)
  assert.throws(
    () => encoder.encode(randomFillSync(Buffer.alloc(4096)), Buffer.alloc(100)),
    RangeError,
  )
  encoder.close()
})

test('FrameDecoder gives back any chunk, however long the one before', async () => {
  const decoder = new FrameDecoder()
  const data = fc.oneof(
    fc.uint8Array({ minLength: 1, maxLength: 3000 }),
    fc.integer({ min: 1, max: 300_000 }).map((length) => new Uint8Array(length)),
  )
  await fc.assert(
    fc.asyncProperty(data, async (plain) => {
      const frame = await encodeFrame(plain, 3)
      assert.ok(Buffer.from(decoder.decode(frame, plain.length)).equals(plain))
    }),
    { numRuns: 60 },
  )
})

test('FrameDecoder refuses damage and wrong lengths, and works on', () => {
  const decoder = new FrameDecoder()
  const plain = randomFillSync(Buffer.alloc(2048)).fill('a', 0, 1024)
  const frame = zstdCompressSync(plain)
  for (let length = 0; length < frame.length; length += 7) {
    assert.throws(() => decoder.decode(frame.subarray(0, length), plain.length), `cut at ${length}`)
    assert.ok(plain.equals(decoder.decode(frame, plain.length)))
  }
  for (const lengthBytes of [1, 1536, 2047, 2049, 4096]) {
    assert.throws(() => decoder.decode(frame, lengthBytes), `as ${lengthBytes} bytes`)
    assert.ok(plain.equals(decoder.decode(frame, plain.length)))
  }
  assert.throws(() => decoder.decode(Buffer.alloc(100, 'x'), 2048))
  assert.throws(() => decoder.decode(Buffer.concat([frame, frame]), 2048))
})

test('FrameDecoder takes no memory for the size that a hostile frame claims', () => {
  const decoder = new FrameDecoder()
  const before = process.memoryUsage().rss
  for (const window of [0x00, 0x88, 0xa8, 0xf8]) {
    for (const claimed of [2n ** 26n, 2n ** 40n, 2n ** 63n]) {
      const header = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0xc0, window, 0, 0, 0, 0, 0, 0, 0, 0])
      header.writeBigUInt64LE(claimed, 6)
      // A last block of 128 KiB that repeats one byte, 4 bytes long.
      const frame = Buffer.concat([header, Buffer.from([0x03, 0x00, 0x10, 0x41])])
      assert.throws(() => decoder.decode(frame, 512), RangeError)
    }
  }
  assert.ok(process.memoryUsage().rss - before < 64 * 2 ** 20)
})

test('statedContentBytes() reads what zstd writes, for any length', () => {
  for (const length of [1, 255, 256, 257, 65_535, 65_536, 65_792, 70_000, 3_000_000]) {
    assert.equal(statedContentBytes(zstdCompressSync(Buffer.alloc(length, 'x'))), length)
  }
  const frame = zstdCompressSync(Buffer.alloc(300))
  for (let cut = 0; cut < 6; cut++) {
    assert.equal(statedContentBytes(frame.subarray(0, cut)), undefined)
  }
  assert.equal(statedContentBytes(Buffer.alloc(100, 'x')), undefined)
})

test('frameFits() leaves nothing or room for a skippable frame', () => {
  const fits = [100, 99, 93, 92].map((packedBytes) => frameFits(packedBytes, 100))
  assert.deepEqual(fits, [true, false, false, true])
})

test('writeSkippableFrame() fills any rest of 8 bytes and more, and nothing', () => {
  for (const length of [8, 9, 100]) {
    const rest = Buffer.alloc(length, 'x')
    writeSkippableFrame(rest)
    assert.equal(rest.readUInt32LE(0), 0x184d2a50)
    assert.equal(rest.readUInt32LE(4), length - 8)
    assert.ok(rest.subarray(8).every((byte) => byte === 0))
  }
  writeSkippableFrame(Buffer.alloc(0))
})

test('splitToFit() finds a beginning that nearly fills the room', async () => {
  const plain = randomFillSync(Buffer.alloc(256 * 1024))
  for (let i = 0; i < plain.length / 2; i++) plain[i] = i % 7
  const whole = await encodeFrame(plain, 3)
  for (const roomBytes of [20_000, 60_000, 100_000, whole.length - 3]) {
    const part = await splitToFit(plain, whole.length, { roomBytes, zstdLevel: 3 })
    assert.ok(part)
    assert.equal(part.plainBytes % 512, 0)
    assert.ok(part.plainBytes < plain.length)
    assert.ok(frameFits(part.frame.length, roomBytes))
    assert.ok(zstdDecompressSync(part.frame).equals(plain.subarray(0, part.plainBytes)))
  }
})

test('splitToFit() finds nothing in a room too small for one block', async () => {
  const plain = randomFillSync(Buffer.alloc(4096))
  const whole = await encodeFrame(plain, 3)
  const options = { roomBytes: 100, zstdLevel: 3 }
  assert.equal(await splitToFit(plain, whole.length, options), undefined)
})
