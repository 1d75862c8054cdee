// Where pieces and files lie.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { blockCount, fileRanges, pieceSizeBytes } from '../../../src/torrent/torrent.ts'

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
