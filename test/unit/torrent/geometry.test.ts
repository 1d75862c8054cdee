// Where pieces and files lie.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { blockCount, fileRanges, padBlocks, pieceSizeBytes } from '../../../src/torrent/torrent.ts'

test('pieceSizeBytes() gives the last piece what is left', () => {
  const geometry = { lengthBytes: 100, pieceLengthBytes: 30 }
  assert.deepEqual(
    [0, 1, 2, 3, 4].map((index) => pieceSizeBytes(geometry, index)),
    [30, 30, 30, 10, 0],
  )
})

test('blockCount() counts the short last block', () => {
  assert.deepEqual([1, 16384, 16385, 4 * 2 ** 20].map(blockCount), [1, 1, 2, 256])
})

test('fileRanges() cover exactly the bytes asked for, in order', () => {
  const lengths = fc.array(fc.nat(50), { minLength: 1, maxLength: 8 })
  fc.assert(
    fc.property(lengths, fc.nat(100), fc.nat(100), (sizes, from, length) => {
      let offsetBytes = 0
      const files = sizes.map((lengthBytes, index) => {
        const file = { path: [`${index}`], lengthBytes, offsetBytes, isPad: false }
        offsetBytes += lengthBytes
        return file
      })
      const covered = fileRanges(files, from, length).flatMap((range) =>
        Array.from(
          { length: range.lengthBytes },
          (_, at) => (files[range.fileIndex]?.offsetBytes ?? 0) + range.offsetBytes + at,
        ),
      )
      const end = Math.min(offsetBytes, from + length)
      const expected = Array.from({ length: Math.max(0, end - from) }, (_, at) => from + at)
      assert.deepEqual(covered, expected)
    }),
  )
})

/** Files of these lengths one after the other; those of negative length are pads. */
function layOut(lengths: readonly number[]) {
  let offsetBytes = 0
  const files = lengths.map((length, index) => {
    const file = {
      path: [`${index}`],
      lengthBytes: Math.abs(length),
      offsetBytes,
      isPad: length < 0,
    }
    offsetBytes += file.lengthBytes
    return file
  })
  return { files, lengthBytes: offsetBytes, pieceLengthBytes: 4 * 16384 }
}

test('padBlocks() are the blocks of a piece that hold nothing but padding', () => {
  const image = layOut([20_000, -(4 * 16384 - 20_000), 7 * 16384, -16384, 16384])
  assert.deepEqual(padBlocks(image, 0), [{ first: 2, end: 4 }])
  assert.deepEqual(padBlocks(image, 1), [])
  assert.deepEqual(padBlocks(image, 2), [{ first: 3, end: 4 }])
  assert.deepEqual(padBlocks(image, 3), [])
})

test('padBlocks() reach to the end of a piece whose last block is short', () => {
  assert.deepEqual(padBlocks(layOut([16384, -100]), 0), [{ first: 1, end: 2 }])
  assert.deepEqual(padBlocks(layOut([16385, -100]), 0), [])
  assert.deepEqual(padBlocks(layOut([3 * 16384, -(3 * 16384), 1]), 0), [{ first: 3, end: 4 }])
})

test('padBlocks() leave a piece that is nothing but padding to be fetched', () => {
  assert.deepEqual(padBlocks(layOut([4 * 16384, -(4 * 16384), 1]), 1), [])
})
