// Calls on the local network: the datagram, and who calls and answers when under a fake clock.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type Endpoint } from '../../../../src/swarm/discovery/candidates.ts'
import { createLocalDiscovery } from '../../../../src/swarm/discovery/local-discovery.ts'
import {
  decodeLocalSearch,
  encodeLocalSearch,
} from '../../../../src/swarm/discovery/local-search-message.ts'
import { openMulticast, type MulticastOptions } from '../../../../src/swarm/discovery/multicast.ts'
import { parseInfoHash } from '../../../../src/torrent/torrent.ts'
import { createRandom } from '../../../sim/seeded-random.ts'
import { fakeClock } from '../../../lab/fake-clock.ts'

const HASH = parseInfoHash('ab'.repeat(20))
const OTHER = parseInfoHash('0123456789'.repeat(4))
const GROUP = '239.192.152.143:6771'

test('encodeLocalSearch() writes what BEP 14 shows', () => {
  const search = { port: 6881, infoHashes: [HASH], cookie: 'c0' }
  assert.equal(
    encodeLocalSearch(search, GROUP).toString('latin1'),
    `BT-SEARCH * HTTP/1.1\r\nHost: ${GROUP}\r\nPort: 6881\r\nInfohash: ${HASH}\r\ncookie: c0\r\n\r\n\r\n`,
  )
})

test('decodeLocalSearch() reads back what encodeLocalSearch() wrote', () => {
  for (const cookie of ['1f', undefined]) {
    const search = { port: 65535, infoHashes: [HASH, OTHER], cookie }
    assert.deepEqual(decodeLocalSearch(encodeLocalSearch(search, GROUP)), search)
  }
})

test('decodeLocalSearch() reads other spellings', () => {
  const text = `BT-SEARCH * HTTP/1.1\nPORT:7\nInfoHash :${HASH.toUpperCase()}  \nX: y\n\n`
  assert.deepEqual(decodeLocalSearch(Buffer.from(text)), {
    ...{ port: 7, infoHashes: [HASH], cookie: undefined },
  })
})

test('decodeLocalSearch() ignores what cannot be followed', () => {
  const lines = (port: string, hash: string) =>
    Buffer.from(`BT-SEARCH * HTTP/1.1\r\nPort: ${port}\r\nInfohash: ${hash}\r\n\r\n\r\n`)
  for (const port of ['0', '65536', '-1', '1e3', '', '123456', '0x1']) {
    assert.equal(decodeLocalSearch(lines(port, HASH)), undefined, port)
  }
  for (const hash of ['', HASH.slice(1), `${HASH}0`, 'z'.repeat(40)]) {
    assert.equal(decodeLocalSearch(lines('1', hash)), undefined, hash)
  }
  assert.equal(decodeLocalSearch(Buffer.from('M-SEARCH * HTTP/1.1\r\n\r\n')), undefined)
  const infoHashes = Array.from({ length: 30 }, () => HASH)
  const long = encodeLocalSearch({ port: 1, infoHashes, cookie: undefined }, GROUP)
  assert.equal(decodeLocalSearch(long), undefined)
})

test('decodeLocalSearch() survives damaged and random datagrams', () => {
  const good = encodeLocalSearch({ port: 6881, infoHashes: [HASH], cookie: 'c' }, GROUP)
  for (let length = 0; length < good.length; length++) decodeLocalSearch(good.subarray(0, length))
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 2000 }), (b) => void decodeLocalSearch(Buffer.from(b))),
  )
  const started = performance.now()
  decodeLocalSearch(Buffer.from(`BT-SEARCH * HTTP/1.1\n${'a'.repeat(700)}:${' '.repeat(600)}x`))
  assert.ok(performance.now() - started < 100)
})

/** Machines on one network: what one sends, all hear, itself included. */
async function createLan(count: number) {
  const clock = fakeClock()
  const random = createRandom(7)
  const machines: { host: string; hear: MulticastOptions['onDatagram']; calledMs: number[] }[] = []
  const start = async (host: string) => {
    const calledMs: number[] = []
    const local = await createLocalDiscovery({
      ...{ host, listenPort: 6881, clock, random, onNote: () => {} },
      open: (options) => {
        machines.push({ host, hear: options.onDatagram, calledMs })
        return Promise.resolve({
          send: (datagramFor) => {
            calledMs.push(clock.monotonicMs())
            for (const machine of machines) machine.hear(datagramFor(GROUP), host)
          },
          close: () => Promise.resolve(),
        })
      },
    })
    const heard = new Set<string>()
    const join = () =>
      local.join(HASH, ({ host: from, port }: Endpoint) => {
        assert.equal(port, 6881)
        const isNews = !heard.has(from)
        heard.add(from)
        return isNews
      })
    return { local, heard, calledMs, join }
  }
  const nodes = []
  for (let index = 0; index < count; index++) nodes.push(await start(`10.0.0.${index}`))
  const callCount = () => machines.reduce((sum, { calledMs }) => sum + calledMs.length, 0)
  return { clock, nodes, start, callCount }
}

test('a machine calls twice at the start, then every five minutes, and not to itself', async () => {
  const { clock, nodes } = await createLan(1)
  const [node] = nodes
  node?.join()
  await clock.advance(1_000_000)
  const [first = 0, second = 0, third = 0, fourth = 0] = node?.calledMs ?? []
  assert.ok(first <= 500)
  assert.equal(second - first, 2000)
  for (const gap of [third - second, fourth - third]) assert.ok(gap >= 270_000 && gap <= 331_000)
  assert.equal(node?.heard.size, 0)
})

test('a machine that is short of peers calls once a minute', async () => {
  const { clock, nodes } = await createLan(1)
  const membership = nodes[0]?.join()
  for (let second = 0; second < 200; second++) {
    membership?.hurry()
    await clock.advance(1000)
  }
  const called = nodes[0]?.calledMs ?? []
  assert.equal(called.length, 5)
  membership?.leave()
  await clock.advance(1_000_000)
  assert.equal(nodes[0]?.calledMs.length, 5)
})

test('a newcomer hears of enough others within seconds, who do not all answer', async () => {
  const { clock, nodes, start, callCount } = await createLan(200)
  for (const node of nodes) node.join()
  await clock.advance(20_000)
  const before = callCount()
  const newcomer = await start('10.9.9.9')
  newcomer.join()
  await clock.advance(2500)
  assert.ok(newcomer.heard.size >= 8, `${newcomer.heard.size} heard`)
  for (const node of nodes) assert.ok(node.heard.has('10.9.9.9'))
  assert.ok(callCount() - before < 40, `${callCount() - before} calls`)
})

test('machines that start at once hear of each other with few calls', async () => {
  const { clock, nodes, callCount } = await createLan(200)
  for (const node of nodes) node.join()
  await clock.advance(20_000)
  for (const node of nodes) assert.equal(node.heard.size, 199)
  assert.ok(callCount() < 200 * 4, `${callCount()} calls`)
})

test('only torrents that were joined are heard of', async () => {
  const { clock, nodes } = await createLan(2)
  nodes[0]?.join()
  nodes[1]?.local.join(OTHER, () => assert.fail('another torrent'))
  await clock.advance(10_000)
  assert.equal(nodes[0]?.heard.size, 0)
})

test(
  'openMulticast() sends to other sockets of the group, and closes',
  { timeout: 20_000 },
  async () => {
    const groups = { IPv4: '239.192.152.144', IPv6: 'ff15::efc0:9890' }
    const notes: string[] = []
    const port = 40_000 + (process.pid % 20_000)
    const { promise, resolve } = Promise.withResolvers<{ text: string; source: string }>()
    const common = { groups, port, host: '127.0.0.1', onNote: (text: string) => notes.push(text) }
    const hearing = await openMulticast({
      ...common,
      onDatagram: (datagram, source) => resolve({ text: String(datagram), source }),
    })
    const calling = await openMulticast({ ...common, onDatagram: () => {} })
    calling.send((groupHost) => Buffer.from(`to ${groupHost}`))
    assert.deepEqual(await promise, { text: `to 239.192.152.144:${port}`, source: '127.0.0.1' })
    await Promise.all([calling.close(), calling.close(), hearing.close()])
    calling.send(() => Buffer.from('nobody hears'))
    assert.deepEqual(notes, [])
  },
)
