// Greetings: the 68 bytes, and the extension handshake.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { isSiError } from '../../../../src/core/core.ts'
import {
  decodeExtensionHandshake,
  encodeExtensionHandshake,
} from '../../../../src/swarm/wire/extension.ts'
import {
  createPeerId,
  decodeHandshake,
  encodeHandshake,
} from '../../../../src/swarm/wire/handshake.ts'
import { encodeBencode, parseInfoHash } from '../../../../src/torrent/torrent.ts'

const refused = (error: unknown) => isSiError(error, 'ERR_SI_PROTOCOL')

test('decodeHandshake() reads back what encodeHandshake() wrote', () => {
  const id = fc.uint8Array({ minLength: 20, maxLength: 20 }).map((bytes) => Buffer.from(bytes))
  fc.assert(
    fc.property(
      id,
      id,
      fc.boolean(),
      fc.boolean(),
      (hash, peer, supportsFast, supportsExtensions) => {
        const handshake = {
          infoHash: parseInfoHash(hash.toString('hex')),
          peerId: peer.toString('latin1'),
          ...{ supportsFast, supportsExtensions },
        }
        assert.deepEqual(decodeHandshake(encodeHandshake(handshake)), handshake)
      },
    ),
  )
})

test('decodeHandshake() refuses other protocols and lengths', () => {
  for (const bytes of [
    Buffer.alloc(68),
    Buffer.from('GET / HTTP/1.1'.padEnd(68)),
    Buffer.alloc(3),
  ]) {
    assert.throws(() => decodeHandshake(bytes), refused)
  }
})

test('createPeerId() makes 20 characters that say who we are', () => {
  assert.equal(
    createPeerId(() => 0),
    '-SI0100-000000000000',
  )
  assert.equal(createPeerId(Math.random).length, 20)
})

test('decodeExtensionHandshake() reads back what encodeExtensionHandshake() wrote', () => {
  const handshake = {
    ...{ client: 'SwarmImager 0.1', requestQueue: 500, listenPort: 6881 },
    peerExchangeId: 1,
    own: { role: 'server', maxRequestBytes: 4 * 2 ** 20, wantId: 1 } as const,
  }
  assert.deepEqual(decodeExtensionHandshake(encodeExtensionHandshake(handshake)), handshake)
})

test('decodeExtensionHandshake() takes nonsense as not given', () => {
  const payload = encodeBencode({
    m: { ut_pex: 256 },
    p: 70_000,
    reqq: -5,
    si: { max: 2 ** 40, role: 'king', want: 256 },
    v: '\u001b[2Jx',
  })
  assert.deepEqual(decodeExtensionHandshake(payload), {
    ...{ client: '?[2Jx', requestQueue: 250, listenPort: 0 },
    peerExchangeId: 0,
    own: { role: 'node', maxRequestBytes: 16384, wantId: undefined },
  })
  assert.equal(decodeExtensionHandshake(Buffer.from('de')).own, undefined)
})

test('encodeExtensionHandshake() does not offer the peer exchange when that is off', () => {
  const payload = encodeExtensionHandshake({
    ...{ client: 'x', requestQueue: 1, listenPort: 1, peerExchangeId: 0, own: undefined },
  })
  assert.equal(payload.includes('ut_pex'), false)
  assert.equal(decodeExtensionHandshake(payload).peerExchangeId, 0)
})

test('decodeExtensionHandshake() throws nothing but ERR_SI_PROTOCOL', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
      try {
        decodeExtensionHandshake(bytes)
      } catch (error) {
        assert.ok(refused(error), String(error))
      }
    }),
  )
})
