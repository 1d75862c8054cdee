// The wire codec under fire: bytes that nobody meant. It refuses or decodes, never throws anything but
// ERR_SI_PROTOCOL, and never holds more than its limits allow.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { isSiError } from '../../../../src/core/core.ts'
import {
  decodeExtensionHandshake,
  encodeExtensionHandshake,
} from '../../../../src/swarm/wire/extension.ts'
import { decodeHandshake, HANDSHAKE_BYTES } from '../../../../src/swarm/wire/handshake.ts'
import {
  encodeMessage,
  encodePieceHead,
  WireDecoder,
  type BlockRange,
  type WireMessage,
} from '../../../../src/swarm/wire/wire.ts'

const LIMITS = { maxControlBytes: 4096, maxPayloadBytes: 65536 }
const FRAMES = 1_000_000
const MIB = 2 ** 20

/** Throws whatever is not the peer's fault; true when it was. */
function isRefused(act: () => void): boolean {
  try {
    act()
    return false
  } catch (error) {
    if (isSiError(error, 'ERR_SI_PROTOCOL')) return true
    throw error
  }
}

/** Checks the order of events and that nothing handed on is beyond the limits. */
class Watch {
  messages = 0
  payloadBytes = 0
  refusals = 0
  #owedBytes = -1
  readonly onMessage = (message: WireMessage) => {
    assert.equal(this.#owedBytes, -1, 'a message within a payload')
    if (message.type === 'bitfield') assert.ok(message.bytes.length < LIMITS.maxControlBytes)
    if (message.type === 'extended') assert.ok(message.payload.length < LIMITS.maxControlBytes)
    this.messages++
  }
  readonly onPayloadBegin = ({ lengthBytes }: BlockRange) => {
    assert.ok(lengthBytes <= LIMITS.maxPayloadBytes)
    this.#owedBytes = lengthBytes
  }
  readonly onPayload = (fragment: Uint8Array) => {
    this.#owedBytes -= fragment.length
    this.payloadBytes += fragment.length
    assert.ok(this.#owedBytes >= 0, 'more payload than was announced')
  }
  readonly onPayloadEnd = () => {
    assert.equal(this.#owedBytes, 0, 'less payload than was announced')
    this.#owedBytes = -1
  }

  /** A new connection: what the last one owed will not come. */
  reconnect(): WireDecoder {
    this.#owedBytes = -1
    return new WireDecoder(this, LIMITS)
  }
}

/** Uniform in [0, 1), the same every time. */
function createRandom(seed: number): () => number {
  let state = seed
  return () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32
}

const NOISE = Buffer.from(Array.from({ length: 65536 }, createRandom(7)).map((x) => x * 256))

/** Writes one frame at the start of `into`; its length. Half of them keep to the format. */
function writeFrame(into: Buffer, random: () => number): number {
  const below = (limit: number) => Math.floor(random() * limit)
  const kind = below(8)
  const id = kind === 0 ? below(256) : below(21)
  const fitting =
    [1, 1, 1, 1, 5, 1 + below(64), 13, 9 + below(300), 13, 3][id] ?? [1, 5, 13][id % 3]
  const claimed =
    kind < 2 ? [below(2 ** 32), 2 ** 31 - 1, 2 ** 32 - 1, below(5000)][below(4)] : fitting
  const length = claimed ?? 1
  const bodyBytes = Math.min(length, kind === 2 ? below(300) : 400)
  into.writeUInt32BE(length >>> 0, 0)
  into[4] = id
  NOISE.copy(into, 5, below(NOISE.length - 512))
  return 4 + bodyBytes
}

test('WireDecoder survives a million random frames in bounded memory', () => {
  const random = createRandom(20)
  const watch = new Watch()
  const frame = Buffer.alloc(1024)
  const startBytes = process.memoryUsage()
  let mostExternalBytes = 0
  let decoder = watch.reconnect()
  for (let count = 0; count < FRAMES; count++) {
    const bytes = frame.subarray(0, writeFrame(frame, random))
    const split = count % 3 === 0 ? Math.floor(random() * bytes.length) : 0
    const push = () => {
      decoder.push(bytes.subarray(0, split))
      decoder.push(bytes.subarray(split))
    }
    if (isRefused(push)) {
      watch.refusals++
      decoder = watch.reconnect()
    }
    if (count % 1000 > 0) continue
    mostExternalBytes = Math.max(mostExternalBytes, process.memoryUsage().external)
  }
  const endBytes = process.memoryUsage()
  assert.ok(watch.messages > FRAMES / 10, `${watch.messages} messages`)
  assert.ok(watch.refusals > FRAMES / 50, `${watch.refusals} refusals`)
  assert.ok(watch.payloadBytes > MIB)
  assert.ok(mostExternalBytes - startBytes.external < 64 * MIB, 'buffers grow')
  assert.ok(endBytes.rss - startBytes.rss < 128 * MIB, 'memory grows')
})

test('WireDecoder allocates nothing for a length that it refuses', () => {
  const head = Buffer.from([0x7f, 0xff, 0xff, 0xff, 0])
  const startBytes = process.memoryUsage().external
  const decoders: WireDecoder[] = []
  for (let id = 0; id < 256; id++) {
    head[4] = id
    const decoder = new Watch().reconnect()
    assert.ok(isRefused(() => decoder.push(head)))
    decoders.push(decoder)
  }
  assert.ok(process.memoryUsage().external - startBytes < MIB)
  assert.equal(decoders.length, 256)
})

test('WireDecoder takes a good stream with any byte changed, or refuses it', () => {
  const range = { pieceIndex: 3, offsetBytes: 16384, lengthBytes: 40 }
  const good = Buffer.concat([
    encodeMessage({ type: 'bitfield', bytes: Buffer.from([0xf0, 0x10]) }),
    encodeMessage({ type: 'unchoke' }),
    encodeMessage({ type: 'request', range }),
    Buffer.concat([encodePieceHead(range), Buffer.alloc(40, 9)]),
    encodeMessage({ type: 'extended', id: 0, payload: Buffer.from('de') }),
  ])
  for (let at = 0; at < good.length; at++) {
    for (let bit = 0; bit < 8; bit++) {
      const bad = Buffer.from(good)
      bad[at] = (bad[at] ?? 0) ^ (1 << bit)
      isRefused(() => new Watch().reconnect().push(bad))
    }
  }
})

test('WireDecoder takes any bytes in any pieces, or refuses them', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 12 }), (parts) => {
      const decoder = new Watch().reconnect()
      isRefused(() => {
        for (const part of parts) decoder.push(part)
      })
    }),
    { numRuns: 5000 },
  )
})

test('decodeHandshake() takes any 68 bytes, or refuses them', () => {
  const anyHandshake = fc.uint8Array({ minLength: HANDSHAKE_BYTES, maxLength: HANDSHAKE_BYTES })
  const protocol = Buffer.from('\x13BitTorrent protocol', 'latin1')
  fc.assert(
    fc.property(anyHandshake, fc.boolean(), (bytes, isOurs) => {
      if (isOurs) bytes.set(protocol)
      const wasRefused = isRefused(() => decodeHandshake(Buffer.from(bytes)))
      assert.ok(!isOurs || !wasRefused)
    }),
  )
})

test('decodeExtensionHandshake() takes any bytes, or refuses them, and bounds what it takes', () => {
  const good = encodeExtensionHandshake({
    ...{ client: 'SwarmImager 0.1', requestQueue: 500, listenPort: 6881, peerExchangeId: 1 },
    own: { role: 'node', maxRequestBytes: 2 ** 20, wantId: 2 },
  })
  const changed = fc
    .array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { maxLength: 6 })
    .map((changes) => {
      const bytes = Buffer.from(good)
      for (const [at, value] of changes) bytes[at] = value
      return bytes
    })
  fc.assert(
    fc.property(fc.oneof(changed, fc.uint8Array({ maxLength: 300 })), (bytes) => {
      isRefused(() => {
        const { client, requestQueue, listenPort, own } = decodeExtensionHandshake(bytes)
        assert.ok(client.length <= 64)
        assert.ok(requestQueue >= 1 && requestQueue <= 100_000)
        assert.ok(listenPort >= 0 && listenPort <= 65535)
        assert.ok(own === undefined || own.maxRequestBytes <= 2 ** 31)
      })
    }),
    { numRuns: 20_000 },
  )
})
