// Sets of pieces in the order of BEP 3.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { isSiError } from '../../../src/core/core.ts'
import { Bitfield } from '../../../src/torrent/torrent.ts'

const refused = (error: unknown) => isSiError(error, 'ERR_SI_PROTOCOL')

test('Bitfield puts piece 0 into the high bit of the first byte', () => {
  const field = new Bitfield(10)
  field.set(0)
  field.set(9)
  assert.deepEqual([...field.bytes], [0b1000_0000, 0b0100_0000])
  assert.deepEqual([...field.indexes()], [0, 9])
})

test('Bitfield behaves as a set of numbers', () => {
  const step = fc.tuple(fc.nat(36), fc.boolean())
  fc.assert(
    fc.property(fc.array(step), (steps) => {
      const field = new Bitfield(37)
      const set = new Set<number>()
      for (const [index, isAdded] of steps) {
        const changes = isAdded ? !set.has(index) : set.has(index)
        assert.equal(isAdded ? field.set(index) : field.clear(index), changes)
        if (isAdded) set.add(index)
        else set.delete(index)
        assert.equal(field.count, set.size)
      }
      assert.deepEqual(
        [...field.indexes()],
        [...set].toSorted((a, b) => a - b),
      )
      assert.deepEqual(new Bitfield(37, field.bytes).bytes, field.bytes)
    }),
  )
})

test('Bitfield refuses a spare bit and a wrong length', () => {
  assert.throws(() => new Bitfield(10, Buffer.from([0, 0b0010_0000])), refused)
  assert.throws(() => new Bitfield(10, Buffer.alloc(1)), refused)
  assert.throws(() => new Bitfield(10, Buffer.alloc(3)), refused)
  assert.throws(() => new Bitfield(8, Buffer.alloc(0)), refused)
})

test('Bitfield.full() has every piece and no spare bit', () => {
  for (const length of [1, 7, 8, 9, 64, 1001]) {
    const field = Bitfield.full(length)
    assert.ok(field.isComplete)
    assert.equal(new Bitfield(length, field.bytes).count, length)
    assert.equal(field.has(length), false)
    assert.equal(field.has(-1), false)
  }
})

test('Bitfield.clone() is independent', () => {
  const field = new Bitfield(5)
  const copy = field.clone()
  copy.set(2)
  assert.equal(field.has(2), false)
  assert.throws(() => field.set(5), /outside a field of 5/)
})
