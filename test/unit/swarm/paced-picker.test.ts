// The download limit in front of the picker: ranges as large as the tokens, and a call when there are more.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pacePicks } from '../../../src/swarm/paced-picker.ts'
import { Picker } from '../../../src/swarm/picker.ts'
import { createTokenBucket } from '../../../src/throttle/throttle.ts'
import { fakeClock } from '../../lab/fake-clock.ts'

const KIB = 1024
const PIECE_BYTES = 1024 * KIB

function bench() {
  const clock = fakeClock()
  const metainfo = {
    pieceCount: 4,
    pieceLengthBytes: PIECE_BYTES,
    lengthBytes: 4 * PIECE_BYTES,
    files: [],
  }
  const picker = new Picker({ metainfo, random: () => 0 })
  for (let index = 0; index < 4; index++) picker.want(index)
  const bucket = createTokenBucket({ bytesPerSecond: 256 * KIB, clock })
  const woken: number[] = []
  const paced = pacePicks(picker, bucket, () => woken.push(clock.monotonicMs()))
  const peer = { key: 1, has: () => true, isOnParole: false }
  return { clock, picker, paced, peer, woken }
}

test('pick() gives no more than the bucket holds, then nothing', () => {
  const { paced, peer } = bench()
  assert.equal(paced.pick(peer, PIECE_BYTES, true)?.lengthBytes, 256 * KIB)
  assert.equal(paced.pick(peer, PIECE_BYTES, true), undefined)
})

test('whoever got nothing is called once when 64 KiB may pass', async () => {
  const { clock, paced, peer, woken } = bench()
  paced.pick(peer, PIECE_BYTES, true)
  paced.pick(peer, PIECE_BYTES, true)
  paced.pick(peer, PIECE_BYTES, true)
  await clock.advance(1000)
  assert.deepEqual(woken, [250])
  assert.equal(paced.pick(peer, 32 * KIB, true)?.lengthBytes, 32 * KIB)
})

test('a range shorter than the tokens leaves the rest for the next one', () => {
  const { paced, peer } = bench()
  assert.equal(paced.pick(peer, 192 * KIB, true)?.lengthBytes, 192 * KIB)
  assert.equal(paced.pick(peer, 192 * KIB, true)?.lengthBytes, 64 * KIB)
})

test('canBegin() is false without tokens: no begun piece is given up for want of them', () => {
  const { paced, peer } = bench()
  assert.equal(paced.canBegin(peer), true)
  paced.pick(peer, PIECE_BYTES, true)
  assert.equal(paced.canBegin(peer), false)
})
