// The picker: what to ask whom for.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type PickingPeer } from '../../../src/swarm/begun-piece.ts'
import { Picker } from '../../../src/swarm/picker.ts'
import { type BlockRange } from '../../../src/swarm/wire/wire.ts'

const BLOCK = 16384

function seeded(seed: number): () => number {
  let state = seed
  return () => (state = (Math.imul(state, 1103515245) + 12345) >>> 0) / 2 ** 32
}

function createPicker(pieceCount: number, blocksPerPiece = 4, random = seeded(1)): Picker {
  const pieceLengthBytes = blocksPerPiece * BLOCK
  const metainfo = {
    pieceCount,
    pieceLengthBytes,
    lengthBytes: pieceCount * pieceLengthBytes - 100,
    files: [],
  }
  const picker = new Picker({ metainfo, random })
  for (let index = 0; index < pieceCount; index++) picker.want(index)
  return picker
}

function peer(key: number, pieces?: readonly number[], isOnParole = false): PickingPeer {
  return { key, has: (index) => pieces?.includes(index) ?? true, isOnParole }
}

function receive(picker: Picker, range: BlockRange): void {
  const first = range.offsetBytes / BLOCK
  const end = Math.ceil((range.offsetBytes + range.lengthBytes) / BLOCK)
  for (let block = first; block < end; block++) picker.receive(range.pieceIndex, block)
  picker.giveBack(range)
}

test('pick() takes the rarest piece first', () => {
  const picker = createPicker(5)
  for (const [index, count] of [3, 2, 5, 1, 4].entries()) {
    for (let i = 0; i < count; i++) picker.addAvailability(index)
  }
  const order = Array.from({ length: 5 }, () => picker.pick(peer(1), 4 * BLOCK, true)?.pieceIndex)
  assert.deepEqual(order, [3, 1, 0, 4, 2])
})

test('pick() breaks ties by the given randomness', () => {
  const firstOf = (seed: number) => {
    const picker = createPicker(50, 4, seeded(seed))
    for (let index = 0; index < 50; index++) picker.addAvailability(index)
    return picker.pick(peer(1), BLOCK, true)?.pieceIndex
  }
  const firsts = new Set(Array.from({ length: 40 }, (_, seed) => firstOf(seed * 7919)))
  assert.ok(firsts.size > 15, `${firsts.size} different`)
  assert.equal(firstOf(5), firstOf(5))
})

test('pick() finishes begun pieces before it begins others', () => {
  const picker = createPicker(3)
  const first = picker.pick(peer(1), BLOCK, true)
  const second = picker.pick(peer(2), BLOCK, true)
  assert.equal(first?.isFirst, true)
  assert.equal(second?.isFirst, false)
  assert.equal(second?.pieceIndex, first?.pieceIndex)
  assert.equal(second?.offsetBytes, BLOCK)
})

test('pick() begins nothing without leave', () => {
  const picker = createPicker(2)
  assert.equal(picker.pick(peer(1), BLOCK, false), undefined)
  assert.ok(picker.pick(peer(1), 4 * BLOCK, true))
  assert.equal(picker.pick(peer(1), BLOCK, false), undefined)
})

test('pick() never asks for padding, and the piece is complete without it', () => {
  const files = [
    { path: ['a'], lengthBytes: BLOCK, offsetBytes: 0, isPad: false },
    { path: ['.pad'], lengthBytes: 2 * BLOCK, offsetBytes: BLOCK, isPad: true },
    { path: ['b'], lengthBytes: BLOCK, offsetBytes: 3 * BLOCK, isPad: false },
  ]
  const geometry = { pieceCount: 1, pieceLengthBytes: 4 * BLOCK, lengthBytes: 4 * BLOCK }
  const picker = new Picker({ metainfo: { ...geometry, files }, random: seeded(1) })
  picker.want(0)
  const offsets = [1, 2, 3].map((key) => picker.pick(peer(key), 4 * BLOCK, true)?.offsetBytes)
  assert.deepEqual(offsets, [0, 3 * BLOCK, undefined])
  assert.equal(picker.unaskedBytes, 0)
  assert.equal(picker.receive(0, 0), 'new')
  assert.equal(picker.receive(0, 3), 'complete')
})

test('pick() asks a peer only for what it has and what is wanted', () => {
  const metainfo = { pieceCount: 3, pieceLengthBytes: BLOCK, lengthBytes: 3 * BLOCK, files: [] }
  const picker = new Picker({ metainfo, random: seeded(1) })
  picker.want(1)
  picker.want(2)
  assert.equal(picker.pick(peer(1, [0]), BLOCK, true), undefined)
  assert.equal(picker.pick(peer(1, [0, 2]), BLOCK, true)?.pieceIndex, 2)
  assert.equal(picker.isInteresting(peer(1, [0])), false)
  assert.equal(picker.isInteresting(peer(1, [1])), true)
})

test('pick() gives a whole piece when the peer serves that, cut at the end of the torrent', () => {
  const picker = createPicker(1)
  assert.deepEqual(picker.pick(peer(1), 100 * BLOCK, true), {
    ...{ pieceIndex: 0, offsetBytes: 0, lengthBytes: 4 * BLOCK - 100, isFirst: true },
  })
})

test('giveBack() makes what a lost peer owed available again', () => {
  const picker = createPicker(1)
  const range = picker.pick(peer(1), 3 * BLOCK, true)
  assert.ok(range)
  picker.receive(0, 1)
  picker.giveBack(range)
  assert.equal(picker.pick(peer(2), 4 * BLOCK, true)?.offsetBytes, 0)
  assert.deepEqual(picker.pick(peer(2), 4 * BLOCK, true), {
    ...{ pieceIndex: 0, offsetBytes: 2 * BLOCK, lengthBytes: 2 * BLOCK - 100, isFirst: false },
  })
})

test('receive() tells new blocks from unneeded ones and the last from the others', () => {
  const picker = createPicker(1, 2)
  picker.pick(peer(1), 2 * BLOCK, true)
  assert.equal(picker.receive(0, 1), 'new')
  assert.equal(picker.receive(0, 1), 'unneeded')
  assert.equal(picker.receive(0, 0), 'complete')
  assert.equal(picker.receive(0, 0), 'unneeded')
  assert.equal(picker.stateOf(0), 'checking')
  assert.equal(picker.unfinishedCount, 1)
  picker.finish(0)
  assert.equal(picker.stateOf(0), 'done')
  assert.equal(picker.unfinishedCount, 0)
})

test('fail() has a bad piece fetched again from its first byte', () => {
  const picker = createPicker(1, 2)
  const range = picker.pick(peer(1), 2 * BLOCK, true)
  assert.ok(range)
  receive(picker, range)
  picker.fail(0)
  assert.equal(picker.stateOf(0), 'missing')
  assert.deepEqual(picker.pick(peer(2), 2 * BLOCK, true), { ...range, isFirst: true })
})

test('pickAgain() asks others only in the end game, at the end of what is owed first', () => {
  const picker = createPicker(2)
  const no = () => false
  picker.pick(peer(1), 4 * BLOCK, true)
  assert.equal(picker.pickAgain(peer(2), BLOCK, no), undefined)
  picker.pick(peer(1), 4 * BLOCK, true)
  assert.ok(picker.isEndGame)
  assert.equal(picker.pickAgain(peer(2), BLOCK, no)?.offsetBytes, 3 * BLOCK)
  assert.equal(picker.isEndGame, true)
})

test('pickAgain() asks no peer twice and no more than three for the same block', () => {
  const picker = createPicker(1, 1)
  picker.pick(peer(1), BLOCK, true)
  assert.equal(
    picker.pickAgain(peer(1), BLOCK, () => true),
    undefined,
  )
  assert.ok(picker.pickAgain(peer(2), BLOCK, () => false))
  assert.ok(picker.pickAgain(peer(3), BLOCK, () => false))
  assert.equal(
    picker.pickAgain(peer(4), BLOCK, () => false),
    undefined,
  )
  assert.equal(picker.isAskedTwice(0), true)
})

test('a peer on parole fetches pieces alone until it is gone', () => {
  const picker = createPicker(1)
  const range = picker.pick(peer(1, undefined, true), BLOCK, true)
  assert.equal(range?.isFirst, true)
  assert.equal(picker.pick(peer(2), BLOCK, true), undefined)
  assert.equal(picker.pick(peer(1, undefined, true), BLOCK, true)?.offsetBytes, BLOCK)
  picker.forget(1)
  assert.equal(picker.pick(peer(2), BLOCK, true)?.offsetBytes, 2 * BLOCK)
})

test('a peer on parole does not join a piece that others began', () => {
  const picker = createPicker(2)
  const begun = picker.pick(peer(1), BLOCK, true)
  const alone = picker.pick(peer(2, undefined, true), BLOCK, true)
  assert.notEqual(alone?.pieceIndex, begun?.pieceIndex)
})

test('a piece that only suspects have is finished all the same', () => {
  const picker = createPicker(1)
  const range = picker.pick(peer(1), BLOCK, true)
  assert.ok(range)
  picker.giveBack(range)
  assert.equal(picker.pick(peer(2, undefined, true), 4 * BLOCK, true)?.offsetBytes, 0)
})

test('pickAgain() helps a suspect that fetches the last piece alone', () => {
  const picker = createPicker(1)
  picker.pick(peer(1, undefined, true), 4 * BLOCK, true)
  assert.equal(picker.pick(peer(2), BLOCK, true), undefined)
  assert.ok(picker.pickAgain(peer(2), BLOCK, () => false))
})

test('stalledPiece() finds a begun piece that nobody owes us', () => {
  const picker = createPicker(2)
  const range = picker.pick(peer(1), BLOCK, true)
  assert.ok(range)
  assert.equal(picker.stalledPiece(), undefined)
  picker.giveBack(range)
  assert.equal(picker.stalledPiece(), range.pieceIndex)
  picker.abandon(range.pieceIndex)
  assert.equal(picker.stateOf(range.pieceIndex), 'missing')
})

test('whatever peers do, every wanted block is received exactly once as new', () => {
  const step = fc.record({
    key: fc.integer({ min: 1, max: 3 }),
    action: fc.constantFrom('pick', 'answer', 'leave', 'again'),
    blocks: fc.integer({ min: 1, max: 5 }),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
      const picker = createPicker(4, 3)
      const asked = new Map<number, BlockRange[]>([1, 2, 3].map((key) => [key, []]))
      const received = new Set<string>()
      const take = (key: number, range: BlockRange | undefined) => {
        if (range !== undefined) asked.get(key)?.push(range)
        return range !== undefined
      }
      const answer = (key: number) => {
        const range = asked.get(key)?.shift()
        if (range === undefined) return
        const first = range.offsetBytes / BLOCK
        for (let block = first; block * BLOCK < range.offsetBytes + range.lengthBytes; block++) {
          if (picker.receive(range.pieceIndex, block) === 'unneeded') continue
          assert.ok(!received.has(`${range.pieceIndex}.${block}`))
          received.add(`${range.pieceIndex}.${block}`)
        }
        picker.giveBack(range)
      }
      for (const { key, action, blocks } of steps) {
        if (action === 'pick') take(key, picker.pick(peer(key), blocks * BLOCK, true))
        else if (action === 'answer') answer(key)
        else if (action === 'leave')
          for (const range of asked.get(key)?.splice(0) ?? []) picker.giveBack(range)
        else
          take(
            key,
            picker.pickAgain(peer(key), blocks * BLOCK, () => asked.get(key)?.length !== 0),
          )
      }
      for (const key of [1, 2, 3])
        for (const range of asked.get(key)?.splice(0) ?? []) picker.giveBack(range)
      while (picker.unaskedBytes > 0) {
        const range = picker.pick(peer(1), 12 * BLOCK, true)
        assert.ok(range, 'a block was forgotten')
        asked.get(1)?.push(range)
        answer(1)
      }
      assert.equal(received.size, 12)
    }),
  )
})
