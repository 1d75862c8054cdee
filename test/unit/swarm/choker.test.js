// Whom we send to.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { chooseUnchoked } from '../../../src/swarm/choker.js'
function peers(count, change = () => ({})) {
  return Array.from({ length: count }, (_, key) => ({
    ...{ key, isInterested: true, isUnchoked: false, downloadBytesPerSecond: 0, uploadedBytes: 0 },
    ...change(key),
  }))
}
const MIB = 2 ** 20
test('chooseUnchoked() serves everybody who is interested while there is room', () => {
  const decision = chooseUnchoked(
    peers(4, (key) => ({ isInterested: key !== 2 })),
    undefined,
    {
      ...{ role: 'node', regularSlots: 3, random: Math.random },
    },
  )
  assert.deepEqual([...decision.unchoked], [0, 1, 3])
})
test('chooseUnchoked() of a server prefers those it gave least', () => {
  const all = peers(10, (key) => ({ uploadedBytes: (10 - key) * 100 * MIB }))
  const { unchoked, optimistic } = chooseUnchoked(all, undefined, {
    ...{ role: 'server', regularSlots: 3, random: () => 0 },
  })
  assert.deepEqual([...unchoked], [9, 8, 7, 6])
  assert.equal(optimistic, 6)
})
test('chooseUnchoked() of a node prefers those that give most', () => {
  const all = peers(10, (key) => ({ downloadBytesPerSecond: key * 2 * MIB }))
  const { unchoked } = chooseUnchoked(all, undefined, {
    ...{ role: 'node', regularSlots: 2, random: () => 0.999 },
  })
  assert.deepEqual([...unchoked], [9, 8, 0])
})
test('chooseUnchoked() chokes nobody for a trifle', () => {
  const all = peers(6, (key) => ({ uploadedBytes: key < 3 ? 2 * MIB : MIB, isUnchoked: key < 3 }))
  const { unchoked } = chooseUnchoked(all, 5, {
    ...{ role: 'server', regularSlots: 3, random: () => 0 },
  })
  assert.deepEqual([...unchoked], [0, 1, 2, 5])
})
test('chooseUnchoked() keeps the place given by chance until it is drawn anew', () => {
  const options = { role: 'server', regularSlots: 1, random: () => 0.5 }
  assert.equal(chooseUnchoked(peers(5), 4, options).optimistic, 4)
  assert.equal(chooseUnchoked(peers(5), undefined, options).optimistic, 3)
  assert.equal(chooseUnchoked(peers(5), 77, options).optimistic, 3)
})
