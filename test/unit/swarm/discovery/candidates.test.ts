// When to try which address.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isSiError } from '../../../../src/core/core.ts'
import { Candidates } from '../../../../src/swarm/discovery/candidates.ts'
import { formatEndpoint, parseEndpoint } from '../../../../src/swarm/connection/connection.ts'

const ANY = { onlyStatic: false, isConnected: () => false }
const A = { host: '10.0.0.1', port: 1 }
const B = { host: 'fd00::1', port: 2 }

test('take() gives an address to one attempt at a time', () => {
  const candidates = new Candidates(() => 0.5)
  candidates.add(A, { isStatic: false })
  candidates.add(A, { isStatic: false })
  assert.equal(candidates.take(0, 5, ANY).length, 1)
  assert.equal(candidates.take(0, 5, ANY).length, 0)
  candidates.ended('10.0.0.1:1', 'lost', 0)
  assert.equal(candidates.take(499, 5, ANY).length, 0)
  assert.equal(candidates.take(500, 5, ANY).length, 1)
})

test('failures double the wait and end in oblivion, but never for static peers', () => {
  const candidates = new Candidates(() => 0.5)
  candidates.add(A, { isStatic: false })
  candidates.add(B, { isStatic: true })
  const waits: number[] = []
  let nowMs = 0
  for (let round = 0; round < 8; round++) {
    const startMs = nowMs
    let taken = candidates.take(nowMs, 5, { ...ANY, onlyStatic: true })
    while (taken.length === 0)
      taken = candidates.take((nowMs += 250), 5, { ...ANY, onlyStatic: true })
    waits.push(nowMs - startMs)
    candidates.ended('[fd00::1]:2', 'failed', nowMs)
  }
  assert.deepEqual(waits, [0, 500, 1000, 2000, 4000, 5000, 5000, 5000])
  for (let round = 0; round < 6; round++) candidates.ended('10.0.0.1:1', 'failed', nowMs)
  assert.equal(candidates.count, 1)
})

test('take() leaves out banned addresses and peers that are connected already', () => {
  const candidates = new Candidates(() => 0.5)
  candidates.add(A, { isStatic: true })
  candidates.add(B, { isStatic: true })
  candidates.ended('10.0.0.1:1', 'banned', 0)
  candidates.answered('[fd00::1]:2', 'someone')
  assert.equal(candidates.take(1e9, 5, { ...ANY, isConnected: (id) => id === 'someone' }).length, 0)
  assert.deepEqual(
    candidates.take(1e9, 5, ANY).map(({ host }) => host),
    ['fd00::1'],
  )
})

test('add() is bounded', () => {
  const candidates = new Candidates(() => 0.5)
  for (let port = 1; port < 5000; port++) candidates.add({ host: 'x', port }, { isStatic: false })
  assert.equal(candidates.count, 2000)
})

test('parseEndpoint() reads names, IPv4 and IPv6', () => {
  assert.deepEqual(parseEndpoint('node7.lan:6881'), { host: 'node7.lan', port: 6881 })
  assert.deepEqual(parseEndpoint(formatEndpoint('fe80::1%eth0', 1)), {
    host: 'fe80::1%eth0',
    port: 1,
  })
  for (const text of [
    '',
    'host',
    'host:',
    ':1',
    'host:0',
    'host:65536',
    'fd00::1:6881',
    '[fd00::1]',
  ]) {
    assert.throws(
      () => parseEndpoint(text),
      (error) => isSiError(error, 'ERR_SI_USAGE'),
    )
  }
})

const hearsay = (index: number) => ({ host: `10.1.${index >> 8}.${index & 255}`, port: 9 })

test('add() keeps a bounded number of addresses that one host told, and of all hosts', () => {
  const candidates = new Candidates(() => 0.5)
  for (let index = 0; index < 5000; index++) {
    candidates.add(hearsay(index), { isStatic: false, teller: '10.0.0.9' })
  }
  assert.equal(candidates.count, 100)
  for (let index = 0; index < 5000; index++) {
    candidates.add(hearsay(index), { isStatic: false, teller: `10.2.0.${index % 50}` })
  }
  assert.equal(candidates.count, 1000)
  candidates.add(A, { isStatic: false })
  assert.equal(candidates.count, 1001)
})

test('add() has room for more hearsay once an address proved good, was confirmed or forgotten', () => {
  const candidates = new Candidates(() => 0.5)
  const teller = '10.0.0.9'
  for (let index = 0; index < 100; index++) {
    candidates.add(hearsay(index), { isStatic: false, teller })
  }
  candidates.answered(formatEndpoint(hearsay(0).host, 9), 'somebody')
  candidates.add(hearsay(1), { isStatic: false })
  for (let time = 0; time < 6; time++) {
    candidates.ended(formatEndpoint(hearsay(2).host, 9), 'failed', 0)
  }
  for (let index = 100; index < 200; index++) {
    candidates.add(hearsay(index), { isStatic: false, teller })
  }
  assert.equal(candidates.count, 102)
})

test('take() takes the preferred one whatever the count, and waits when it failed', () => {
  const candidates = new Candidates(() => 0.5)
  for (const host of ['a', 'b', 'c']) candidates.add({ host, port: 1 }, { isStatic: false })
  candidates.add({ host: 'c', port: 1 }, { isStatic: false, isPreferred: true })
  const filter = { onlyStatic: false, isConnected: () => false }
  const hosts = (nowMs: number, count: number) =>
    candidates.take(nowMs, count, filter).map(({ host }) => host)
  assert.deepEqual(hosts(0, 0), ['c'])
  candidates.ended('c:1', 'failed', 0)
  assert.deepEqual(hosts(1, 1), ['a'])
  assert.deepEqual(hosts(60_000, -5), ['c'])
})
