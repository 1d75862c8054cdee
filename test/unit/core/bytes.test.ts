import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatBytesForPeople } from '../../../src/core/core.ts'

test('formatBytesForPeople() leaves UTF-8 alone', () => {
  assert.equal(formatBytesForPeople(Buffer.from('etc/Grüße')), 'etc/Grüße')
})

test('formatBytesForPeople() escapes control characters and bytes that are not UTF-8', () => {
  assert.equal(formatBytesForPeople(Buffer.from('a\x1b[2Jb\n')), 'a\\x1b[2Jb\\x0a')
  assert.equal(formatBytesForPeople(Buffer.from([0x61, 0xff, 0x62])), 'a\\xffb')
})
