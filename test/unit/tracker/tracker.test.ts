// The tracker over real HTTP on loopback.
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import test, { type TestContext } from 'node:test'
import { decodeCompactPeers } from '../../../src/swarm/discovery/compact-peers.ts'
import { systemClock } from '../../../src/core/core.ts'
import { decodeBencode, parseInfoHash, type BencodeValue } from '../../../src/torrent/torrent.ts'
import { createTracker, type TrackerOptions } from '../../../src/tracker/tracker.ts'

const KNOWN = parseInfoHash('ab'.repeat(20))
const UNKNOWN = parseInfoHash('cd'.repeat(20))
const OPTIONS: TrackerOptions = { intervalMs: 20_000, isKnown: (infoHash) => infoHash === KNOWN }

test('createTracker() answers with every peer but the announcer', async (t) => {
  const { announce } = await serve(t, OPTIONS)
  assert.deepEqual(peersOf(await announce({ port: 1001 })), [])
  assert.deepEqual(peersOf(await announce({ port: 1002 })), ['127.0.0.1:1001'])
  assert.deepEqual(peersOf(await announce({ port: 1001 })), ['127.0.0.1:1002'])
})

test('createTracker() counts seeders and leechers and tells the interval', async (t) => {
  const { announce } = await serve(t, OPTIONS)
  await announce({ port: 1001, left: 0 })
  const answer = await announce({ port: 1002, left: 5 })
  assert.equal(answer.get('complete'), 1)
  assert.equal(answer.get('incomplete'), 1)
  assert.equal(answer.get('interval'), 20)
})

test('createTracker() refuses an unknown info hash and keeps nothing about it', async (t) => {
  const { announce, tracker } = await serve(t, OPTIONS)
  const answer = await announce({ port: 1001, infoHash: UNKNOWN })
  assert.equal(String(answer.get('failure reason')), 'unknown torrent')
  assert.equal(tracker.peerCount(UNKNOWN), 0)
})

test('createTracker() takes the address of the connection and not the announced one', async (t) => {
  const { announce } = await serve(t, OPTIONS)
  await announce({ port: 1001, extra: '&ip=10.9.9.9&ipv4=10.9.9.9' })
  assert.deepEqual(peersOf(await announce({ port: 1002 })), ['127.0.0.1:1001'])
})

test('createTracker() puts the seeder beside it first, by the address the announcer used', async (t) => {
  const { announce } = await serve(t, { ...OPTIONS, seederPort: () => 6881 })
  const answer = await announce({ port: 1001 })
  assert.deepEqual(peersOf(answer), ['127.0.0.1:6881'])
  assert.equal(answer.get('complete'), 1)
  await announce({ port: 1002 })
  const full = await announce({ port: 1003 })
  assert.deepEqual(peersOf(full)[0], '127.0.0.1:6881')
  assert.equal(peersOf(full).length, 3)
  assert.deepEqual(peersOf(await announce({ port: 1003, extra: '&numwant=1' })), ['127.0.0.1:6881'])
})

test('createTracker() tells IPv6 peers of IPv6 peers', async (t) => {
  const { announce } = await serve(t, { ...OPTIONS, seederPort: () => 6881 }, '::1')
  await announce({ port: 1001 })
  const answer = await announce({ port: 1002 })
  assert.deepEqual(answer.get('peers'), Buffer.alloc(0))
  assert.deepEqual(decodeCompactPeers(answer.get('peers6') as Buffer, 16), [
    { host: '::1', port: 6881 },
    { host: '::1', port: 1001 },
  ])
})

test('createTracker() names the seeder under a given address', async (t) => {
  const options = { ...OPTIONS, seederPort: () => 6881, seederAddress: '192.0.2.7' }
  const { announce } = await serve(t, options)
  assert.deepEqual(peersOf(await announce({ port: 1001 })), ['192.0.2.7:6881'])
})

test('createTracker() forgets a peer that stops', async (t) => {
  const { announce, tracker } = await serve(t, OPTIONS)
  await announce({ port: 1001 })
  assert.equal(tracker.peerCount(KNOWN), 1)
  assert.deepEqual(peersOf(await announce({ port: 1001, extra: '&event=stopped' })), [])
  assert.equal(tracker.peerCount(KNOWN), 0)
})

test('createTracker() drops a peer that missed three announces', async (t) => {
  let nowMs = 0
  const clock = { ...systemClock, monotonicMs: () => nowMs }
  const { announce, tracker } = await serve(t, { ...OPTIONS, intervalMs: 20_000, clock })
  await announce({ port: 1001 })
  nowMs = 60_000
  assert.equal(tracker.peerCount(KNOWN), 1)
  nowMs = 60_001
  assert.equal(tracker.peerCount(KNOWN), 0)
  assert.deepEqual(peersOf(await announce({ port: 1002 })), [])
})

test('createTracker() prefers peers of the same rack and always tells some of others', async (t) => {
  const { announce } = await serve(t, { ...OPTIONS, seederPort: () => 6881 })
  for (let port = 1000; port < 1060; port++) {
    await announce({ port, extra: `&rack=${port % 2 === 0 ? 'row%202' : 'r1'}` })
  }
  const isSameRack = (peer: string) => Number(peer.split(':')[1]) % 2 === 0
  const answer = await announce({ port: 1060, extra: '&rack=row%202&numwant=50' })
  const [seeder, ...peers] = peersOf(answer)
  assert.equal(seeder, '127.0.0.1:6881')
  assert.equal(peers.length, 15)
  assert.equal(peers.filter(isSameRack).length, 10)
})

test('createTracker() does not take what is no name for a rack', async (t) => {
  const { announce } = await serve(t, OPTIONS)
  const bad = ['&rack=', '&rack=%00', `&rack=${'x'.repeat(65)}`, '&rack=r0&rack=r0', '&rack=%c3%a4']
  for (let port = 1000; port < 1100; port++) {
    await announce({ port, extra: port < 1006 ? '&rack=r0' : (bad[port % bad.length] ?? '') })
  }
  for (const extra of bad) {
    const near = peersOf(await announce({ port: 1200, extra })).filter(
      (peer) => Number(peer.split(':')[1]) < 1006,
    )
    assert.ok(near.length < 6, extra)
  }
  const near = peersOf(await announce({ port: 1200, extra: '&rack=r0' })).filter(
    (peer) => Number(peer.split(':')[1]) < 1006,
  )
  assert.equal(near.length, 6)
})

test('createTracker() tells seeders of leechers only, and nobody of nobody', async (t) => {
  const { announce } = await serve(t, OPTIONS)
  await announce({ port: 1001, left: 0 })
  await announce({ port: 1002, left: 7 })
  assert.deepEqual(peersOf(await announce({ port: 1003, left: 0 })), ['127.0.0.1:1002'])
  assert.equal(peersOf(await announce({ port: 1004 })).length, 3)
  const done = await announce({ port: 1002, left: 0, extra: '&event=completed' })
  assert.deepEqual(peersOf(done), ['127.0.0.1:1004'])
  assert.equal(done.get('complete'), 3)
  assert.deepEqual(peersOf(await announce({ port: 1004, extra: '&numwant=-5' })), [])
})

test('createTracker() refuses an event that does not exist', async (t) => {
  const { announce, tracker } = await serve(t, OPTIONS)
  const answer = await announce({ port: 1001, extra: '&event=exploded' })
  assert.equal(String(answer.get('failure reason')), 'invalid event')
  assert.equal(tracker.peerCount(KNOWN), 0)
})

test('createTracker() puts two first announces at one moment into one swarm', async (t) => {
  const { announce, tracker } = await serve(t, OPTIONS)
  await Promise.all([announce({ port: 1001 }), announce({ port: 1002 })])
  assert.equal(tracker.peerCount(KNOWN), 2)
  tracker.forget(KNOWN)
  assert.equal(tracker.peerCount(KNOWN), 0)
})

test('createTracker() answers a scrape', async (t) => {
  const { announce, get } = await serve(t, { ...OPTIONS, seederPort: () => 6881 })
  await announce({ port: 1001 })
  const files = (await get(`/scrape?info_hash=${escaped(KNOWN)}`)).get('files') as ReadonlyMap<
    string,
    BencodeValue
  >
  const counts = [...files.values()][0] as ReadonlyMap<string, BencodeValue>
  assert.equal(counts.get('complete'), 1)
  assert.equal(counts.get('incomplete'), 1)
})

test('createTracker() survives malformed requests', async (t) => {
  const { get } = await serve(t, OPTIONS)
  for (const path of ['/announce', '/announce?info_hash=x', '/announce?info_hash=%', '/nothing']) {
    assert.ok((await get(path)).has('failure reason'), path)
  }
})

interface Announce {
  readonly port: number
  readonly left?: number
  readonly infoHash?: string
  readonly extra?: string
}

async function serve(t: TestContext, options: TrackerOptions, host = '127.0.0.1') {
  const tracker = createTracker(options)
  const server = createServer((request, response) => tracker.handle(request, response))
  await new Promise<void>((resolve) => server.listen(0, host, resolve))
  t.after(async () => {
    tracker.close()
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })
  const { port: httpPort } = server.address() as AddressInfo
  const get = async (path: string) => {
    const shown = host.includes(':') ? `[${host}]` : host
    const response = await fetch(`http://${shown}:${httpPort}${path}`)
    const bytes = new Uint8Array(await response.arrayBuffer())
    return decodeBencode(bytes, { allowUnsortedKeys: true }) as ReadonlyMap<string, BencodeValue>
  }
  const announce = ({ port, left = 1, infoHash = KNOWN, extra = '' }: Announce) =>
    get(
      `/announce?info_hash=${escaped(infoHash)}&peer_id=${`-TE0001-${port}`.padEnd(20, 'x')}` +
        `&port=${port}&left=${left}&compact=1${extra}`,
    )
  return { tracker, announce, get }
}

function escaped(infoHash: string): string {
  return infoHash.replace(/../g, '%$&')
}

/** The compact IPv4 peers of an answer (BEP 23). */
function peersOf(answer: ReadonlyMap<string, BencodeValue>): string[] {
  const bytes = answer.get('peers') as Buffer
  return Array.from({ length: bytes.length / 6 }, (_, index) => {
    const peer = bytes.subarray(index * 6, index * 6 + 6)
    return `${peer.subarray(0, 4).join('.')}:${peer.readUInt16BE(4)}`
  })
}
