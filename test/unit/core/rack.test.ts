// Names of racks.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isRackName, isSiError, parseRackName } from '../../../src/core/core.ts'

test('parseRackName() takes 1 to 64 printable characters', () => {
  for (const name of ['r', 'hall 2, row 7', 'x'.repeat(64)]) assert.equal(parseRackName(name), name)
})

test('parseRackName() refuses what is empty, too long or not printable', () => {
  for (const name of ['', 'x'.repeat(65), 'a\nb', 'r\u00e4ck', '\x7f']) {
    assert.throws(
      () => parseRackName(name),
      (error) => isSiError(error, 'ERR_SI_USAGE'),
    )
  }
})

test('isRackName() is false for what is no text', () => {
  for (const value of [undefined, null, 7, ['r0', 'r1'], {}]) assert.equal(isRackName(value), false)
})
