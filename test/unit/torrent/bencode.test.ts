// Bencoding: one spelling per value, bounded, and the same bytes back.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { isSiError } from '../../../src/core/core.ts'
import {
  bencodedValueOf,
  decodeBencode,
  decodeBencodePrefix,
  encodeBencode,
  type BencodeValue,
} from '../../../src/torrent/torrent.ts'

const fault = (error: unknown) => isSiError(error, 'ERR_SI_BENCODE')
const decode = (text: string) => decodeBencode(Buffer.from(text, 'latin1'))

const { value: anyValue } = fc.letrec<{ value: BencodeValue }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.maxSafeInteger(),
    fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
    fc.array(tie('value'), { maxLength: 5 }),
    fc
      .dictionary(fc.string({ maxLength: 8 }).map(toLatin1), tie('value'), { maxKeys: 5 })
      .map((record) => new Map(Object.entries(record))),
  ),
}))

function toLatin1(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1')
}

function sorted(value: BencodeValue): BencodeValue {
  if (value instanceof Map) {
    const entries = [...(value as ReadonlyMap<string, BencodeValue>)]
    return new Map(entries.sort(([a], [b]) => (a < b ? -1 : 1)).map(([k, v]) => [k, sorted(v)]))
  }
  return Array.isArray(value) ? (value as BencodeValue[]).map(sorted) : value
}

test('decodeBencode() reads back what encodeBencode() wrote', () => {
  fc.assert(
    fc.property(anyValue, (value) => {
      const bytes = encodeBencode(value)
      assert.deepEqual(decodeBencode(bytes), sorted(value))
      assert.deepEqual(encodeBencode(decodeBencode(bytes)), bytes)
    }),
  )
})

test('decodeBencode() refuses every truncation', () => {
  fc.assert(
    fc.property(anyValue, (value) => {
      const bytes = encodeBencode(value)
      for (let length = 0; length < bytes.length; length++) {
        assert.throws(() => decodeBencode(bytes.subarray(0, length)), fault)
      }
    }),
    { numRuns: 30 },
  )
})

test('decodeBencode() throws nothing but ERR_SI_BENCODE, whatever it is given', () => {
  const noise = fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    fc
      .array(fc.constantFrom(...'ilde0123456789:-x'), { maxLength: 60 })
      .map((chars) => Buffer.from(chars.join(''))),
  )
  fc.assert(
    fc.property(noise, (bytes) => {
      try {
        assert.deepEqual(encodeBencode(decodeBencode(bytes)), Buffer.from(bytes))
      } catch (error) {
        assert.ok(fault(error), String(error))
      }
    }),
    { numRuns: 2000 },
  )
})

for (const [text, why] of [
  ['i01e', 'a leading zero'],
  ['i-0e', 'minus zero'],
  ['ie', 'an empty number'],
  ['i-e', 'a lone minus'],
  ['i9007199254740992e', 'an unsafe integer'],
  ['i99999999999999999999e', 'a number of 20 digits'],
  ['01:a', 'a length with a leading zero'],
  ['-1:a', 'a negative length'],
  ['9007199254740991:a', 'a length beyond the input'],
  ['i1ei2e', 'data after the end'],
  ['d1:bi1e1:ai2ee', 'unsorted keys'],
  ['d1:ai1e1:ai2ee', 'a key that occurs twice'],
  ['di1ei2ee', 'a key that is no string'],
  ['d1:ae', 'a key without a value'],
] as const) {
  test(`decodeBencode() refuses ${why}`, () => assert.throws(() => decode(text), fault))
}

test('decodeBencode() reads the extremes', () => {
  assert.equal(decode('i-9007199254740991e'), -9007199254740991)
  assert.deepEqual(decode('0:'), Buffer.alloc(0))
  assert.deepEqual(decode('le'), [])
  assert.deepEqual(decode('de'), new Map())
})

test('decodeBencode() bounds depth and length', () => {
  assert.throws(() => decode('l'.repeat(100_000)), fault)
  assert.doesNotThrow(() => decode('l'.repeat(32) + 'e'.repeat(32)))
  assert.throws(() => decodeBencode(Buffer.from('i1e'), { maxBytes: 2 }), fault)
})

test('decodeBencode() accepts unsorted keys where they are allowed, but none twice', () => {
  const limits = { allowUnsortedKeys: true }
  assert.equal((decodeBencode(Buffer.from('d1:bi1e1:ai2ee'), limits) as Map<string, 1>).size, 2)
  assert.throws(() => decodeBencode(Buffer.from('d1:bi1e1:ai2e1:bi3ee'), limits), fault)
})

test('decodeBencodePrefix() tells where the value ends', () => {
  const { value, endOffset } = decodeBencodePrefix(Buffer.from('li1eeREST'))
  assert.deepEqual(value, [1])
  assert.equal(endOffset, 5)
})

test('bencodedValueOf() gives the bytes as they stand', () => {
  const bytes = Buffer.from('d1:ai7e4:infod1:xi1ee1:zlee')
  assert.equal(bencodedValueOf(bytes, 'info')?.toString(), 'd1:xi1ee')
  assert.equal(bencodedValueOf(bytes, 'none'), undefined)
  assert.throws(() => bencodedValueOf(Buffer.from('i1e'), 'info'), fault)
})

test('encodeBencode() refuses what is no safe integer', () => {
  for (const value of [0.5, NaN, Infinity, 2 ** 53]) {
    assert.throws(
      () => encodeBencode(value),
      (error) => isSiError(error, 'ERR_SI_INTERNAL'),
    )
  }
})
