import assert from 'node:assert/strict'
import { test } from 'node:test'
import { copyBytes, formatBytesForPeople } from '../../../src/core/core.ts'

test('copyBytes() copies a part into shared memory, wherever both lie', () => {
  const from = Uint8Array.from({ length: 100 }, (_, index) => index)
  for (const [start, end] of [
    [0, 100],
    [13, 100],
    [13, 29],
    [7, 7],
  ] as const) {
    const into = new Uint8Array(new SharedArrayBuffer(110), 3)
    copyBytes(from.subarray(start, end), into, 5)
    const expected = new Uint8Array(107)
    expected.set(from.subarray(start, end), 5)
    assert.deepEqual(Uint8Array.from(into), expected)
  }
})

test('formatBytesForPeople() leaves UTF-8 alone', () => {
  assert.equal(formatBytesForPeople(Buffer.from('etc/Grüße')), 'etc/Grüße')
})

test('formatBytesForPeople() escapes control characters and bytes that are not UTF-8', () => {
  assert.equal(formatBytesForPeople(Buffer.from('a\x1b[2Jb\n')), 'a\\x1b[2Jb\\x0a')
  assert.equal(formatBytesForPeople(Buffer.from([0x61, 0xff, 0x62])), 'a\\xffb')
})
