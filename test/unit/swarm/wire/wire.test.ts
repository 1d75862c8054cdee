// The wire codec: every message back as it was however the stream is cut, and hostile lengths refused.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { isSiError } from '../../../../src/core/core.ts'
import {
  encodeMessage,
  encodePieceHead,
  WireDecoder,
  type BlockRange,
  type WireMessage,
} from '../../../../src/swarm/wire/wire.ts'

const refused = (error: unknown) => isSiError(error, 'ERR_SI_PROTOCOL')
const LIMITS = { maxControlBytes: 1000, maxPayloadBytes: 65536 }

type Event =
  WireMessage | { readonly type: 'piece'; readonly range: BlockRange; readonly payload: Buffer }

/** Decodes `chunks` and gathers what came out; payload is copied, as its memory is the chunk's. */
function decodeAll(chunks: readonly Uint8Array[], limits = LIMITS): Event[] {
  const events: Event[] = []
  let range: BlockRange | undefined
  let parts: Buffer[] = []
  const decoder = new WireDecoder(
    {
      onMessage: (message) => events.push(message),
      onPayloadBegin: (begun) => {
        range = begun
        parts = []
      },
      onPayload: (fragment) => parts.push(Buffer.from(fragment)),
      onPayloadEnd: () => {
        assert.ok(range)
        events.push({ type: 'piece', range, payload: Buffer.concat(parts) })
      },
    },
    limits,
  )
  for (const chunk of chunks) decoder.push(chunk)
  return events
}

/** A record that is deeply equal to an object literal. */
function plain<T extends object>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> {
  return fc.record(model, { noNullPrototype: true }) as fc.Arbitrary<T>
}

const u32 = fc.nat(2 ** 32 - 1)
const anyRange = plain({ pieceIndex: u32, offsetBytes: u32, lengthBytes: u32 })
const bytes = fc.uint8Array({ maxLength: 300 })
const anyEvent: fc.Arbitrary<Event> = fc.oneof(
  fc
    .constantFrom(
      'keep-alive',
      'choke',
      'unchoke',
      'interested',
      'not-interested',
      'have-all',
      'have-none',
    )
    .map((type) => ({ type }) as WireMessage),
  plain({ type: fc.constantFrom('have', 'suggest', 'allowed-fast'), pieceIndex: u32 }),
  plain({ type: fc.constantFrom('request', 'cancel', 'reject'), range: anyRange }),
  plain({ type: fc.constant('bitfield' as const), bytes }),
  plain({ type: fc.constant('port' as const), port: fc.nat(65535) }),
  plain({ type: fc.constant('extended' as const), id: fc.nat(255), payload: bytes }),
  fc.record({ pieceIndex: u32, offsetBytes: u32, payload: bytes }).map((piece) => ({
    type: 'piece' as const,
    range: {
      ...{ pieceIndex: piece.pieceIndex, offsetBytes: piece.offsetBytes },
      lengthBytes: piece.payload.length,
    },
    payload: Buffer.from(piece.payload),
  })),
)

function encode(event: Event): Buffer {
  if (event.type !== 'piece') return encodeMessage(event)
  return Buffer.concat([encodePieceHead(event.range), event.payload])
}

function cut(stream: Buffer, cuts: readonly number[]): Buffer[] {
  const places = [...cuts.map((place) => place % (stream.length + 1)), stream.length]
  let from = 0
  return places
    .toSorted((a, b) => a - b)
    .map((to) => stream.subarray(from, (from = to)))
    .filter((chunk) => chunk.length > 0)
}

test('WireDecoder gives back every message however the stream is cut', () => {
  fc.assert(
    fc.property(
      fc.array(anyEvent, { maxLength: 8 }),
      fc.array(fc.nat(), { maxLength: 9 }),
      (events, cuts) => {
        const stream = Buffer.concat(events.map(encode))
        assert.deepEqual(decodeAll(cut(stream, cuts)), events)
      },
    ),
    { numRuns: 500 },
  )
})

test('WireDecoder gives back every message byte by byte, and no message before its last byte', () => {
  fc.assert(
    fc.property(anyEvent, (event) => {
      const stream = encode(event)
      const single = Array.from(stream, (_, at) => stream.subarray(at, at + 1))
      assert.deepEqual(decodeAll(single), [event])
      assert.deepEqual(decodeAll(single.slice(0, -1)), [])
    }),
  )
})

test('WireDecoder survives a hundred thousand random frames without a fault of ours', () => {
  let state = 12345
  const random = () => (state = (Math.imul(state, 1103515245) + 12345) >>> 0) / 2 ** 32
  const stream = Buffer.alloc(64 * 1024)
  let [frames, refusals] = [0, 0]
  const sink = {
    onMessage: () => void frames++,
    onPayloadBegin: () => {},
    onPayload: () => {},
    onPayloadEnd: () => void frames++,
  }
  while (frames + refusals < 100_000) {
    let at = 0
    while (at + 30 < stream.length) {
      const length = random() < 0.001 ? Math.floor(random() * 2 ** 32) : Math.floor(random() * 16)
      stream.writeUInt32BE(length, at)
      for (let i = 4; i < 20; i++) stream[at + i] = Math.floor(random() * 24)
      at += 4 + Math.min(length, 15)
    }
    let decoder = new WireDecoder(sink, LIMITS)
    for (let from = 0; from < at; from += 1000) {
      try {
        decoder.push(stream.subarray(from, Math.min(at, from + 1000)))
      } catch (error) {
        assert.ok(refused(error), String(error))
        refusals++
        decoder = new WireDecoder(sink, LIMITS)
      }
    }
  }
})

for (const [what, hex] of [
  ['a length prefix of 2 GiB', '7fffffff07'],
  ['a length prefix of 4 GiB', 'ffffffff05'],
  ['a piece message longer than ever requested', '0001000a07'],
  ['a piece message without a head', '0000000807'],
  ['a piece message of one byte', '0000000107'],
  ['a bitfield longer than the torrent needs', '000003e905'],
  ['a choke with content', '000000020000'],
  ['a have of two bytes', '000000030400aa'],
  ['a request of four bytes', '000000050600000000'],
  ['a port of one byte', '000000020901'],
  ['an extended message without an id', '0000000114'],
] as const) {
  test(`WireDecoder refuses ${what}`, () => {
    assert.throws(() => decodeAll([Buffer.from(hex, 'hex')]), refused)
  })
}

test('WireDecoder takes a message of exactly the bound', () => {
  const body = Buffer.alloc(999, 7)
  const event = { type: 'bitfield', bytes: new Uint8Array(body) } as const
  assert.deepEqual(decodeAll([encodeMessage(event)]), [event])
})

test('WireDecoder ignores messages it does not know', () => {
  assert.deepEqual(decodeAll([Buffer.from('00000003630102' + '0000000101', 'hex')]), [
    { type: 'unchoke' },
  ])
})

test('WireDecoder decodes nothing more after stop(), not even from the same bytes', () => {
  let count = 0
  const decoder: WireDecoder = new WireDecoder(
    {
      onMessage() {
        count++
        decoder.stop()
      },
      ...{ onPayloadBegin() {}, onPayload() {}, onPayloadEnd() {} },
    },
    LIMITS,
  )
  decoder.push(Buffer.alloc(40))
  assert.equal(count, 1)
})

test('WireDecoder hands payload on in place, without gathering it', () => {
  const chunk = Buffer.concat([
    encodePieceHead({ pieceIndex: 1, offsetBytes: 2, lengthBytes: 50_000 }),
    Buffer.alloc(20_000, 9),
  ])
  const fragments: Uint8Array[] = []
  const decoder = new WireDecoder(
    {
      onPayload: (fragment) => fragments.push(fragment),
      ...{ onMessage() {}, onPayloadBegin() {}, onPayloadEnd() {} },
    },
    LIMITS,
  )
  decoder.push(chunk)
  assert.equal(fragments.length, 1)
  assert.equal(fragments[0]?.buffer, chunk.buffer)
  assert.equal(fragments[0]?.length, 20_000)
})
