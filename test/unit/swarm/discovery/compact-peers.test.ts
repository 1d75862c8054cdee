// Addresses in compact form.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  decodeCompactPeers,
  encodeCompactPeer,
  isWorthTelling,
} from '../../../../src/swarm/discovery/compact-peers.ts'

const port = fc.integer({ min: 1, max: 65535 })

test('decodeCompactPeers() reads back what encodeCompactPeer() wrote', () => {
  fc.assert(
    fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), port, (host, portNumber) => {
      const bytes = encodeCompactPeer({ host, port: portNumber })
      assert.ok(bytes !== undefined)
      const [peer] = decodeCompactPeers(bytes, bytes.length === 6 ? 4 : 16) ?? []
      assert.equal(peer?.port, portNumber)
      const canonical = (text: string) =>
        text.includes(':') ? new URL(`http://[${text}]`).hostname : text
      assert.equal(canonical(peer.host), canonical(host))
    }),
  )
})

test('encodeCompactPeer() refuses names and addresses with a zone', () => {
  for (const host of ['server', 'fe80::1%eth0', '', '1.2.3', '::1::']) {
    assert.equal(encodeCompactPeer({ host, port: 1 }), undefined)
  }
})

test('decodeCompactPeers() refuses a cut list and leaves out port 0', () => {
  for (let length = 1; length < 6; length++) {
    assert.equal(decodeCompactPeers(Buffer.alloc(length), 4), undefined)
  }
  assert.equal(decodeCompactPeers(Buffer.alloc(20), 16), undefined)
  assert.deepEqual(decodeCompactPeers(Buffer.from([1, 2, 3, 4, 0, 0, 5, 6, 7, 8, 1, 0]), 4), [
    { host: '5.6.7.8', port: 256 },
  ])
})

test('isWorthTelling() is false for what is no other machine', () => {
  const no = ['0.0.0.0', '224.0.0.1', '255.255.255.255', '::', 'ff02::1', 'fe80::1', 'name', '']
  for (const host of [...no, '::ffff:10.0.0.1', '127.0.0.1', '::1']) {
    assert.equal(isWorthTelling(host, '10.0.0.1'), false, host)
  }
  for (const host of ['10.0.0.2', '192.168.1.1', '8.8.8.8', 'fd00::7', '2001:db8::1']) {
    assert.equal(isWorthTelling(host, '10.0.0.1'), true, host)
  }
  assert.equal(isWorthTelling('127.0.0.1', '127.0.0.1'), true)
  assert.equal(isWorthTelling('::1', '::1'), true)
})
