import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { expandList, expandRange, foldNames } from '../../../src/cluster/range.ts'
import { isSiError } from '../../../src/core/core.ts'

test('expandRange() keeps the width of a number that begins with zero', () => {
  assert.deepEqual(expandRange('node[008-010,200]'), ['node008', 'node009', 'node010', 'node200'])
  assert.deepEqual(expandRange('n[9-11]'), ['n9', 'n10', 'n11'])
})

test('expandRange() multiplies several ranges, the last one fastest', () => {
  assert.deepEqual(expandRange('r[1-2]n[1,3]'), ['r1n1', 'r1n3', 'r2n1', 'r2n3'])
})

test('expandRange() takes steps', () => {
  assert.deepEqual(expandRange('n[0-6/3].lab'), ['n0.lab', 'n3.lab', 'n6.lab'])
})

test('expandRange() counts addresses in hexadecimal', () => {
  assert.deepEqual(expandRange('52:54:00:00:00:[0e-11]', 16).slice(-3), [
    '52:54:00:00:00:0f',
    '52:54:00:00:00:10',
    '52:54:00:00:00:11',
  ])
})

for (const [pattern, why] of [
  ['node[1-', /not closed/],
  ['node]1[', /not closed/],
  ['node[3-1]', /ends before it begins/],
  ['node[a-b]', /no range of numbers/],
  ['node[]', /no range of numbers/],
  ['node[1-9/0]', /too large/],
  ['node[1-99999999]', /more than 65536/],
  ['a[1-9999]b[1-9999]', /more than 65536/],
  ['node[1-99999999999999999999]', /too large/],
] as const) {
  test(`expandRange() refuses ${pattern}`, () => {
    assert.throws(() => expandRange(pattern), why)
  })
}

test('expandList() splits at commas outside of brackets and at blanks', () => {
  assert.deepEqual(expandList('login, n[1,2] n2'), ['login', 'n1', 'n2'])
})

test('foldNames() tells padded numbers from others', () => {
  assert.equal(foldNames(['n9', 'n10', 'n09', 'login', 'n1a']), 'login,n1a,n9,n[09-10]')
})

test('expandList() reads back what foldNames() wrote', () => {
  const name = fc.stringMatching(/^[a-z]{1,3}\d{0,4}(-ib)?$/)
  fc.assert(
    fc.property(fc.uniqueArray(name, { maxLength: 60 }), (names) => {
      assert.deepEqual([...expandList(foldNames(names))].sort(), names.toSorted())
    }),
  )
})

test('expandList() ends with names or ERR_SI_USAGE, whatever the text', () => {
  const text = fc.string({ unit: fc.constantFrom(...'n[]-,/ 019az'), maxLength: 20 })
  fc.assert(
    fc.property(text, (list) => {
      try {
        expandList(list)
      } catch (error) {
        assert.ok(isSiError(error, 'ERR_SI_USAGE'), String(error))
      }
    }),
  )
})
