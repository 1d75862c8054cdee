import assert from 'node:assert/strict'
import { hash, randomFillSync } from 'node:crypto'
import { test } from 'node:test'
import { digestOf } from '../../../src/core/core.ts'

test('digestOf() is the digest, whatever the length and wherever the bytes lie', () => {
  const memory = new Uint8Array(new SharedArrayBuffer(300_000))
  randomFillSync(memory)
  for (const length of [0, 1, 65_535, 65_536, 65_537, 131_072, 262_145]) {
    const bytes = memory.subarray(13, 13 + length)
    for (const algorithm of ['sha1', 'sha256'] as const) {
      assert.deepEqual(digestOf(algorithm, bytes), hash(algorithm, bytes, 'buffer'))
    }
  }
})
