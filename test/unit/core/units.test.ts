import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  formatDuration,
  formatNeed,
  formatSize,
  isSiError,
  parseDuration,
  parseRate,
  parseSize,
} from '../../../src/core/core.ts'

test('parseSize() reads binary and decimal units', () => {
  assert.equal(parseSize('20MiB'), 20_971_520)
  assert.equal(parseSize('20 MB'), 20_000_000)
  assert.equal(parseSize('4k'), 4096)
  assert.equal(parseSize('1.5G'), 1_610_612_736)
  assert.equal(parseSize('512'), 512)
})

test('parseSize() refuses what is not a size', () => {
  for (const text of ['', '-1', 'MiB', '1 potato', '1e9', '0x10', '99999999999 TiB']) {
    assert.throws(
      () => parseSize(text),
      (error) => isSiError(error, 'ERR_SI_USAGE'),
      text,
    )
  }
})

test('parseRate() reads a rate and the word unlimited', () => {
  assert.equal(parseRate('5MB/s'), 5_000_000)
  assert.equal(parseRate('unlimited'), undefined)
})

test('parseDuration() adds up parts and knows forever', () => {
  assert.equal(parseDuration('90s'), 90_000)
  assert.equal(parseDuration('1h30m'), 5_400_000)
  assert.equal(parseDuration('250ms'), 250)
  assert.equal(parseDuration('10'), 10_000)
  assert.equal(parseDuration('forever'), Infinity)
})

test('parseDuration() refuses what is not a duration', () => {
  for (const text of ['', 'soon', '5 parsecs', '-3s', '1h!']) {
    assert.throws(
      () => parseDuration(text),
      (error) => isSiError(error, 'ERR_SI_USAGE'),
      text,
    )
  }
})

test('formatNeed() tells apart what looks the same', () => {
  assert.equal(formatNeed(3.8 * 2 ** 30 + 2 ** 20, 3.8 * 2 ** 30), '3.8 GiB (1.0 MiB more)')
})

test('formatSize() and formatDuration() write for people', () => {
  assert.equal(formatSize(512), '512 B')
  assert.equal(formatSize(20_971_520), '20.0 MiB')
  assert.equal(formatSize(2 ** 30 - 1), '1.0 GiB')
  assert.equal(formatDuration(800), '0.8 s')
  assert.equal(formatDuration(185_000), '3 min 05 s')
  assert.equal(formatDuration(7_620_000), '2 h 07 min')
  assert.equal(formatDuration(Infinity), 'unknown')
})

test('formatSize() never shows 1024 of a unit', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 49 }), (bytes) => {
      assert.ok(Number.parseFloat(formatSize(bytes)) < 1024)
    }),
  )
})
