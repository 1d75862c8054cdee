import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isSiError } from '../../../src/core/core.ts'
import { parseIoRate, UNLIMITED } from '../../../src/throttle/throttle.ts'

test('parseIoRate() reads bytes, requests, both, and sectors of 2008', () => {
  assert.deepEqual(parseIoRate('5MiB/s'), { ...UNLIMITED, bytesPerSecond: 5 * 2 ** 20 })
  assert.deepEqual(parseIoRate('5MB'), { ...UNLIMITED, bytesPerSecond: 5e6 })
  assert.deepEqual(parseIoRate('200iops'), { ...UNLIMITED, requestsPerSecond: 200 })
  assert.deepEqual(parseIoRate('1KB/s,20iops'), { bytesPerSecond: 1000, requestsPerSecond: 20 })
  assert.deepEqual(parseIoRate('2048'), { ...UNLIMITED, bytesPerSecond: 2 ** 20 })
  assert.deepEqual(parseIoRate('0'), UNLIMITED)
  assert.deepEqual(parseIoRate('unlimited'), UNLIMITED)
})

test('parseIoRate() refuses what would stop a process for ever, and what is no rate', () => {
  for (const text of ['0iops', '0MB/s', '', '5 bananas', '-1', '1MB/s,', 'ls']) {
    assert.throws(
      () => parseIoRate(text),
      (error) => isSiError(error, 'ERR_SI_USAGE'),
      text,
    )
  }
})
