// The first distribution with few pieces and peers: every decision written out.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { FirstDistribution } from '../../../src/swarm/first-distribution.ts'
import { Bitfield } from '../../../src/torrent/torrent.ts'

const PIECE_BYTES = 1000

function bench(pieceCount: number, random = () => 0.999) {
  const copies = new Array<number>(pieceCount).fill(0)
  const distribution = new FirstDistribution({
    ...{ pieceCount, random },
    pieceSizeBytes: () => PIECE_BYTES,
    copiesOf: (index) => copies[index] ?? 0,
  })
  let key = 0
  const join = (options: { wanted?: Bitfield | null; isUnchoked?: boolean } = {}) => {
    const pieces = new Bitfield(pieceCount)
    const peer = { key: ++key, has: (index: number) => pieces.has(index) }
    const isSteered = distribution.add(peer, 0)
    if (options.wanted !== null) {
      distribution.setWanted(peer.key, options.wanted ?? Bitfield.full(pieceCount))
    }
    if (options.isUnchoked ?? true) distribution.setUnchoked(peer.key, true, 0)
    return {
      isSteered,
      key: peer.key,
      next: (nowMs = 0) => [...distribution.next(peer.key, nowMs)],
      ask: (pieceIndex: number, nowMs = 0) =>
        distribution.requested(
          peer.key,
          { pieceIndex, offsetBytes: 0, lengthBytes: PIECE_BYTES },
          nowMs,
        ),
      get: (pieceIndex: number) => {
        if (pieces.set(pieceIndex)) copies[pieceIndex] = (copies[pieceIndex] ?? 0) + 1
      },
      leave: () => {
        for (const index of pieces.indexes()) copies[index] = (copies[index] ?? 0) - 1
        distribution.remove(peer.key)
      },
    }
  }
  return { distribution, join }
}

test('each peer is shown a piece that nobody else is shown', () => {
  const { join } = bench(6)
  const [a, b] = [join(), join()]
  assert.deepEqual(a.next(), [5])
  assert.deepEqual(b.next(), [4])
  assert.deepEqual(a.next(), [])
})

test('a piece asked for whole makes room for the next; so does one got elsewhere', () => {
  const { join } = bench(6)
  const a = join()
  a.next()
  a.ask(5)
  assert.deepEqual(a.next(), [4])
  a.get(4)
  assert.deepEqual(a.next(), [3])
})

test('a choked peer is shown nothing while there is something fresh for it, and may be unchoked', () => {
  const { distribution, join } = bench(2)
  const a = join({ isUnchoked: false })
  assert.deepEqual(a.next(), [])
  assert.equal(distribution.hasFresh(a.key), true)
  const b = join()
  assert.deepEqual(b.next(), [1])
  b.ask(1)
  assert.deepEqual(b.next(), [0])
  assert.equal(distribution.hasFresh(a.key), false)
  b.get(1)
  assert.deepEqual(a.next(), [1])
})

test('what a peer has asked for stays its own when its turn is over', () => {
  const { distribution, join } = bench(3)
  const a = join()
  assert.deepEqual(a.next(), [2])
  a.ask(2)
  assert.deepEqual(a.next(), [1])
  distribution.setUnchoked(a.key, false, 0)
  assert.deepEqual(join().next(), [1])
  assert.deepEqual(join().next(), [0])
})

test('what a peer was to fetch is offered to others when it is choked or gone', () => {
  const { distribution, join } = bench(4)
  const [a, b] = [join(), join()]
  assert.deepEqual(a.next(), [3])
  distribution.setUnchoked(a.key, false, 0)
  assert.deepEqual(b.next(), [3])
  b.leave()
  assert.deepEqual(join().next(), [3])
})

test('when nothing is fresh a peer is shown what others have, but not what is on its way to them', () => {
  const { join } = bench(3)
  const [a, b, c] = [join(), join(), join()]
  assert.deepEqual([a.next(), b.next(), c.next()], [[2], [1], [0]])
  b.get(1)
  assert.deepEqual(a.next(), []) // its own piece is still to come
  a.get(2)
  assert.deepEqual(a.next(), [1])
  c.get(0)
  assert.deepEqual(a.next(), [0])
  assert.deepEqual(b.next(), [0, 2])
})

test('what is on its way for more than 10 s is shown to others as well', () => {
  const { join } = bench(1)
  const [a, b] = [join(), join()]
  assert.deepEqual([a.next(), b.next(9000)], [[0], []])
  a.ask(0, 9000)
  assert.deepEqual(b.next(10_500), [0])
})

test('where pieces take long as a rule, one is on its way for long before others are shown it', () => {
  const { join } = bench(21)
  const [a, b] = [join(), join()]
  let nowMs = 0
  for (let index = 20; index > 0; index--) {
    assert.deepEqual(a.next(nowMs), [index])
    nowMs += 9000
    a.ask(index, nowMs)
    a.get(index)
  }
  a.next(nowMs)
  a.ask(0, nowMs + 5000)
  b.ask(0, nowMs + 5000)
  assert.ok(!b.next(nowMs + 12_000).includes(0))
  a.ask(0, nowMs + 25_000)
  b.ask(0, nowMs + 25_000)
  assert.ok(b.next(nowMs + 30_000).includes(0))
})

test('a newcomer is not steered when each piece has left the server', () => {
  const { join } = bench(1)
  const a = join()
  a.next()
  assert.equal(join().isSteered, true)
  a.get(0)
  a.next()
  assert.equal(join().isSteered, false)
})

test('a swarm that begins anew is steered anew', () => {
  const { join } = bench(2)
  const a = join()
  a.next()
  a.get(0)
  a.get(1)
  assert.deepEqual(a.next(), [])
  a.leave()
  const b = join()
  assert.equal(b.isSteered, true)
  assert.deepEqual(b.next(), [1])
})

test('a peer is shown only what it wants', () => {
  const { distribution, join } = bench(6)
  const first = new Bitfield(6)
  first.set(0)
  const [a, b] = [join({ wanted: first }), join({ wanted: first })]
  assert.deepEqual(a.next(), [0])
  assert.deepEqual(b.next(), [])
  a.get(0)
  assert.deepEqual(b.next(), [0])
  distribution.setWanted(b.key, Bitfield.full(6))
  assert.deepEqual(b.next(), [5])
})

test('nothing is shown to a peer that has not told what it wants, for 10 s at most', () => {
  const { join } = bench(4)
  const a = join({ wanted: null })
  assert.deepEqual(a.next(9000), [])
  assert.deepEqual(a.next(10_500), [3, 2].concat([0, 1]).toSorted())
})

test('an unchoked peer that asks for nothing for 10 s is left to itself', () => {
  const { join } = bench(4)
  const [a, b] = [join(), join()]
  assert.deepEqual(a.next(), [3])
  b.ask(0, 9000)
  assert.deepEqual(a.next(10_500), [0, 1, 2])
  assert.deepEqual(b.next(10_500), [3])
})

test('whatever peers do, none ever waits for a piece that it is not shown', () => {
  const action = fc.record({
    who: fc.nat(4),
    what: fc.constantFrom('ask', 'get', 'leave', 'join'),
    seed: fc.nat(100),
  })
  fc.assert(
    fc.property(fc.array(action, { maxLength: 120 }), fc.integer(), (actions, seed) => {
      let state = seed
      const { join } = bench(8, () => ((state = (state * 1103515245 + 12345) >>> 0) / 2 ** 32) % 1)
      const peers = Array.from({ length: 3 }, () => ({ peer: join(), shown: new Set<number>() }))
      const refresh = () => {
        for (const { peer, shown } of peers) for (const index of peer.next()) shown.add(index)
      }
      refresh()
      for (const { who, what, seed: choice } of actions) {
        const chosen = peers[who % Math.max(1, peers.length)]
        if (what === 'join') peers.push({ peer: join(), shown: new Set() })
        else if (chosen === undefined) continue
        else if (what === 'leave') {
          chosen.peer.leave()
          peers.splice(peers.indexOf(chosen), 1)
        } else {
          const index = [...chosen.shown][choice % Math.max(1, chosen.shown.size)]
          if (index === undefined) continue
          chosen.peer.ask(index)
          if (what === 'get') chosen.peer.get(index)
        }
        refresh()
      }
      // Who goes on asking for what it is shown gets everything.
      for (let round = 0; round < 50; round++) {
        for (const { peer, shown } of peers) {
          for (const index of shown) {
            peer.ask(index)
            peer.get(index)
          }
        }
        refresh()
      }
      for (const { peer, shown } of peers) {
        if (peer.isSteered) assert.equal(shown.size, 8)
      }
    }),
    { numRuns: 200 },
  )
})
