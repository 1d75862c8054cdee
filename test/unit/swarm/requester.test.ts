// What one peer owes us, under a fake clock and a slab of real memory.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Clock } from '../../../src/core/core.ts'
import { type PickingPeer } from '../../../src/swarm/begun-piece.ts'
import { Downloader } from '../../../src/swarm/downloader.ts'
import { Intake, type PeerSink } from '../../../src/swarm/connection/intake.ts'
import { Picker } from '../../../src/swarm/picker.ts'
import { Requester } from '../../../src/swarm/requester.ts'
import { createSlab, type PiecePool } from '../../../src/swarm/swarm.ts'
import { type BlockRange } from '../../../src/swarm/wire/wire.ts'
import { parseMetainfo } from '../../../src/torrent/torrent.ts'
import { torrentOf } from '../../integration/swarm-lab.ts'

const BLOCK = 16384
const LIMITS = { maxRequestBytes: BLOCK, requestQueue: 100, peerCount: 2 }

function bench(slots = 4) {
  let nowMs = 0
  const clock: Clock = {
    monotonicMs: () => nowMs,
    now: () => new Date(nowMs),
    schedule: () => () => {},
  }
  const metainfo = parseMetainfo(torrentOf(Buffer.alloc(4 * 4 * BLOCK, 1), 4 * BLOCK))
  const picker = new Picker({ metainfo, random: () => 0 })
  for (let index = 0; index < 4; index++) picker.want(index)
  const slab = createSlab({ slotBytes: 4 * BLOCK, slots })
  const checked: number[] = []
  const pool = {
    slab,
    checkPiece: (index: number) => {
      checked.push(index)
      return Promise.resolve('ok' as const)
    },
  } as unknown as PiecePool
  const none = () => {}
  const downloader = new Downloader(
    { metainfo, picker, pool },
    { onWritten: none, onComplete: none, onBad: none, onGood: none, onFatal: none },
  )
  const connect = (key: number) => {
    const peer: PickingPeer = { key, has: () => true, isOnParole: false }
    const asked: BlockRange[] = []
    const cancelled: BlockRange[] = []
    const requester = new Requester({
      ...{ peer, picker, downloader, clock, pieceLengthBytes: 4 * BLOCK },
      request: (range) => {
        asked.push(range)
        const place = downloader.placeOf(range.pieceIndex)
        if (place !== undefined) intake.expect(range, place)
      },
      cancel: (range) => cancelled.push(range),
    })
    let wasExpected = false
    const sink: PeerSink = {
      onMessage: none,
      onPayloadBegin: (range, isExpected) => {
        wasExpected = isExpected
        if (isExpected) requester.beginPayload(range)
      },
      onBlocks: (blocks) => downloader.receive(blocks, key),
      onPayload: ({ bytes }) => requester.takePayload(bytes),
      onPayloadEnd: () => requester.endPayload(),
      onDrained: none,
    }
    const intake = new Intake(sink, slab)
    const answer = (range = asked.shift()): boolean => {
      assert.ok(range)
      intake.onPayloadBegin(range)
      intake.onPayload(Buffer.alloc(range.lengthBytes, 1))
      intake.onPayloadEnd()
      return wasExpected
    }
    return { requester, asked, cancelled, answer }
  }
  const pass = (durationMs: number) => (nowMs += durationMs)
  return { picker, slab, checked, connect, pass }
}

test('fill() asks for as much as slots allow and no byte more', () => {
  const { connect, slab } = bench(2)
  const { requester, asked } = connect(1)
  requester.fill(LIMITS)
  assert.equal(asked.length, 8)
  assert.equal(slab.freeSlots, 0)
  requester.fill(LIMITS)
  assert.equal(asked.length, 8)
})

test('a piece goes to the pool when its last block has come', () => {
  const { connect, checked } = bench()
  const { requester, asked, answer } = connect(1)
  requester.fill(LIMITS)
  const first = asked[0]?.pieceIndex
  for (let block = 0; block < 3; block++) answer()
  assert.deepEqual(checked, [])
  answer()
  assert.deepEqual(checked, [first])
})

test('after 4 s of silence others are asked, and a late answer is still used', () => {
  const { connect, pass, picker } = bench()
  const silent = connect(1)
  const other = connect(2)
  silent.requester.fill({ ...LIMITS, requestQueue: 2 })
  pass(3900)
  assert.ok(silent.requester.checkProgress(true))
  assert.equal(picker.unaskedBytes, 16 * BLOCK - 2 * BLOCK)
  pass(200)
  assert.ok(silent.requester.checkProgress(true))
  assert.equal(picker.unaskedBytes, 16 * BLOCK)
  assert.equal(silent.answer(), true)
  other.requester.fill(LIMITS)
  assert.equal(other.asked.length, 15)
})

test('a silent peer is asked for one block at a time, which stays free, and is dropped in the end', () => {
  const { connect, pass, picker } = bench()
  const { requester, asked } = connect(1)
  requester.fill(LIMITS)
  pass(5000)
  requester.checkProgress(true)
  asked.length = 0
  requester.fill(LIMITS)
  requester.fill(LIMITS)
  assert.equal(asked.length, 1)
  assert.equal(picker.unaskedBytes, 16 * BLOCK)
  pass(41_000)
  assert.equal(requester.checkProgress(true), false)
})

test('what nobody asked for is not known, and costs no slot', () => {
  const { connect, slab } = bench()
  const { answer } = connect(1)
  assert.equal(answer({ pieceIndex: 0, offsetBytes: 0, lengthBytes: BLOCK }), false)
  assert.equal(slab.freeSlots, 4)
})

test('a refused request goes back to the picker', () => {
  const { connect, picker } = bench()
  const { requester, asked } = connect(1)
  requester.fill({ ...LIMITS, requestQueue: 3 })
  assert.equal(picker.unaskedBytes, 13 * BLOCK)
  assert.ok(asked[1])
  assert.equal(requester.rejected(asked[1]), true)
  assert.equal(requester.rejected(asked[1]), false)
  assert.equal(picker.unaskedBytes, 14 * BLOCK)
})

test('a peer that refuses all it is asked for is dropped, one that gives something is not', () => {
  const { connect } = bench()
  const { requester, asked, answer } = connect(1)
  const refuseTwice = () => {
    requester.fill({ ...LIMITS, requestQueue: 2 })
    const [refused] = asked.splice(0)
    assert.ok(refused)
    requester.rejected(refused)
    requester.choked({ forgetsRequests: true })
  }
  for (let count = 0; count < 1000; count++) refuseTwice()
  assert.equal(requester.checkProgress(true), true)
  requester.fill({ ...LIMITS, requestQueue: 1 })
  answer()
  for (let count = 0; count < 1000; count++) refuseTwice()
  assert.equal(requester.checkProgress(true), true)
  refuseTwice()
  assert.equal(requester.checkProgress(true), false)
})

test('dropPiece() cancels what is owed of a complete piece and accepts it if it comes all the same', () => {
  const { connect } = bench()
  const { requester, asked, cancelled, answer } = connect(1)
  requester.fill({ ...LIMITS, requestQueue: 2 })
  const range = asked[0]
  assert.ok(range)
  requester.dropPiece(range.pieceIndex)
  assert.equal(cancelled.length, 2)
  assert.equal(answer(range), true)
})
