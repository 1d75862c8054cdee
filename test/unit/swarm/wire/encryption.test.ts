// Encrypted greetings as other clients make them, however the bytes are cut. That real clients are
// understood: test/integration/interop.test.ts.
import assert from 'node:assert/strict'
import { createDiffieHellman, createHash } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import { isSiError } from '../../../../src/core/core.ts'
import { Encryption } from '../../../../src/swarm/wire/encryption.ts'
import { createRc4, type StreamCipher } from '../../../../src/swarm/wire/rc4.ts'
import { parseInfoHash } from '../../../../src/torrent/torrent.ts'

const PRIME =
  'ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74020bbea63b139b22514a08798e3404dd' +
  'ef9519b3cd3a431b302b0a6df25f14374fe1356d6d51c245e485b576625e7ec6f44c42e9a63a36210000000000090563'
const OURS = parseInfoHash('12'.repeat(20))
const OTHER = parseInfoHash('34'.repeat(20))
const PLAIN = 1
const RC4 = 2
const HANDSHAKE = Buffer.from(`\x13BitTorrent protocol${'x'.repeat(48)}`, 'latin1')

const refused = (error: unknown) => isSiError(error, 'ERR_SI_PROTOCOL')
const sha1 = (word: string, ...parts: readonly Buffer[]) =>
  createHash('sha1')
    .update(Buffer.concat([Buffer.from(word), ...parts]))
    .digest()
const padded = (key: Buffer) => Buffer.concat([Buffer.alloc(96 - key.length), key])
const through = (cipher: StreamCipher, bytes: Uint8Array) => {
  const result = Buffer.alloc(bytes.length)
  cipher(bytes, result)
  return result
}

interface Greeting {
  readonly offered: number
  readonly infoHash: string
  readonly padA: Buffer
  readonly padC: Buffer
  readonly initial: Buffer
}

const GREETING: Greeting = {
  ...{ offered: PLAIN | RC4, infoHash: OURS, initial: HANDSHAKE },
  ...{ padA: Buffer.from('noise'), padC: Buffer.alloc(3) },
}

/** An Encryption of ours and a client that greets it; `wire` is what we have sent so far. */
function begin() {
  const wire: Buffer[] = []
  const ours = new Encryption({
    infoHashes: () => [OTHER, OURS],
    reply: (bytes) => wire.push(Buffer.from(bytes)),
  })
  const dh = createDiffieHellman(PRIME, 'hex', 2)
  return { ours, wire, dh, key: padded(dh.generateKeys()) }
}

function greet(partial: Partial<Greeting>, cuts: readonly number[] = []) {
  const { offered, infoHash, padA, padC, initial } = { ...GREETING, ...partial }
  const { ours, wire, dh, key } = begin()
  const received: Uint8Array[] = []
  const send = (bytes: Buffer) => {
    for (let at = 0, cut = 0; at < bytes.length; cut++) {
      const end = at + Math.max(1, cuts[cut % cuts.length] ?? bytes.length)
      received.push(Buffer.from(ours.receive(Buffer.from(bytes.subarray(at, end)))))
      at = end
    }
  }
  send(Buffer.concat([key, padA]))
  assert.equal(wire[0]?.length, 96)
  const secret = padded(dh.computeSecret(wire[0]))
  const skey = Buffer.from(infoHash, 'hex')
  const mask = sha1('req3', secret)
  const wanted = sha1('req2', skey).map((byte, index) => byte ^ (mask[index] ?? 0))
  const encrypt = createRc4(sha1('keyA', secret, skey))
  const decrypt = createRc4(sha1('keyB', secret, skey))
  const head = Buffer.alloc(14 + padC.length + 2)
  head.writeUInt32BE(offered, 8)
  head.writeUInt16BE(padC.length, 12)
  head.writeUInt16BE(initial.length, 14 + padC.length)
  const encrypted = through(encrypt, Buffer.concat([head, initial]))
  send(Buffer.concat([sha1('req1', secret), wanted, encrypted]))
  const text = () => Buffer.concat(received).toString('latin1')
  const answer = through(decrypt, wire[1] ?? Buffer.alloc(0))
  return { ours, send, text, answer, encrypt, decrypt }
}

test('Encryption passes a plain connection through, cut anywhere', () => {
  for (let cut = 1; cut <= 30; cut++) {
    const { ours, wire } = begin()
    const parts = [HANDSHAKE.subarray(0, cut), HANDSHAKE.subarray(cut)]
    const received = parts.map((part) => Buffer.from(ours.receive(Buffer.from(part))))
    assert.deepEqual(Buffer.concat(received), HANDSHAKE)
    assert.deepEqual(ours.send(HANDSHAKE), HANDSHAKE)
    assert.deepEqual(wire, [])
  }
})

test('Encryption chooses plain payload where it is offered, cut anywhere', () => {
  const pad = fc.uint8Array({ maxLength: 512 }).map((bytes) => Buffer.from(bytes))
  const cuts = fc.array(fc.integer({ min: 1, max: 200 }), { maxLength: 5 })
  const property = fc.property(pad, pad, cuts, (padA, padC, cuts) => {
    const { ours, send, text, answer } = greet({ padA, padC }, cuts)
    assert.equal(answer.toString('hex'), '0000000000000000' + '00000001' + '0000')
    send(Buffer.from('and so on'))
    assert.equal(text(), `${HANDSHAKE.toString('latin1')}and so on`)
    assert.equal(ours.send(HANDSHAKE), HANDSHAKE)
  })
  fc.assert(property, { numRuns: 50 })
})

test('Encryption encrypts payload both ways for a client that offers nothing else', () => {
  const { ours, send, text, answer, encrypt, decrypt } = greet({ offered: RC4 }, [50])
  assert.equal(answer.toString('hex'), '0000000000000000' + '00000002' + '0000')
  send(through(encrypt, Buffer.from('and so on')))
  assert.equal(text(), `${HANDSHAKE.toString('latin1')}and so on`)
  const sent = [ours.send(Buffer.from('our ')), ours.send(Buffer.from('answer'))]
  assert.equal(through(decrypt, Buffer.concat(sent)).toString(), 'our answer')
})

test('Encryption takes the handshake after the greeting as well as with it', () => {
  const { send, text } = greet({ initial: Buffer.alloc(0) })
  send(Buffer.from(HANDSHAKE))
  assert.equal(text(), HANDSHAKE.toString('latin1'))
})

test('Encryption refuses unknown torrents, offers and pads, and too long a beginning', () => {
  assert.throws(() => greet({ infoHash: '56'.repeat(20) }), refused)
  assert.throws(() => greet({ offered: 4 }), refused)
  assert.throws(() => greet({ padA: Buffer.alloc(513) }), refused)
  assert.throws(() => greet({ padC: Buffer.alloc(513) }), refused)
  assert.throws(() => greet({ initial: Buffer.alloc(4097) }), refused)
})

test('Encryption refuses a key of zeros and noise without end', () => {
  assert.throws(() => begin().ours.receive(Buffer.alloc(96)), refused)
  const { ours, key } = begin()
  ours.receive(key)
  assert.throws(() => ours.receive(Buffer.alloc(533, 1)), refused)
})

test('createRc4() begins with byte 1024 of the key stream', () => {
  // RFC 6229, 40 bit key, offset 1024.
  const cipher = createRc4(Buffer.from('0102030405', 'hex'))
  const expected = '30abbcc7c20b01609f23ee2d5f6bb7df'
  assert.equal(through(cipher, Buffer.alloc(16)).toString('hex'), expected)
})
