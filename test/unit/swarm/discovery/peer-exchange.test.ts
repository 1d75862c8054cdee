// Peers telling peers of peers: the message, and who is told what and when under a fake clock.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { isSiError, systemClock } from '../../../../src/core/core.ts'
import { formatEndpoint } from '../../../../src/swarm/connection/connection.ts'
import { PeerExchange, type ExchangePeer } from '../../../../src/swarm/discovery/peer-exchange.ts'
import {
  decodePeerExchange,
  encodePeerExchange,
} from '../../../../src/swarm/discovery/peer-exchange-message.ts'
import { type WireMessage } from '../../../../src/swarm/wire/wire.ts'
import { encodeBencode } from '../../../../src/torrent/torrent.ts'

const refused = (error: unknown) => isSiError(error, 'ERR_SI_PROTOCOL')
const contact = fc.record(
  {
    host: fc.oneof(fc.ipV4(), fc.constantFrom('fd00::1', '2001:db8::7:8')),
    port: fc.integer({ min: 1, max: 65535 }),
    isComplete: fc.boolean(),
    isReachable: fc.boolean(),
  },
  { noNullPrototype: true },
)

test('decodePeerExchange() reads back what encodePeerExchange() wrote', () => {
  const ipv4First = <T extends { host: string }>(items: readonly T[]) =>
    items.toSorted((a, b) => Number(a.host.includes(':')) - Number(b.host.includes(':')))
  fc.assert(
    fc.property(
      ...[fc.array(contact, { maxLength: 50 }), fc.array(contact, { maxLength: 50 })],
      (added, gone) => {
        const dropped = gone.map(({ host, port }) => ({ host, port }))
        assert.deepEqual(decodePeerExchange(encodePeerExchange({ added, dropped })), {
          ...{ added: ipv4First(added), dropped: ipv4First(dropped) },
        })
      },
    ),
  )
})

test('decodePeerExchange() reads 50 of each list, and does without flags', () => {
  const message = encodeBencode({ added: Buffer.alloc(600, 1), added6: Buffer.alloc(1800, 2) })
  const { added, dropped } = decodePeerExchange(message)
  assert.equal(added.length, 100)
  assert.deepEqual(added[0], {
    ...{ host: '1.1.1.1', port: 257, isComplete: false, isReachable: false },
  })
  assert.deepEqual(dropped, [])
})

test('decodePeerExchange() keeps flags with their peers where a port is 0', () => {
  const added = Buffer.from([9, 9, 9, 9, 0, 0, 1, 2, 3, 4, 0, 5])
  const message = encodeBencode({ added, 'added.f': Buffer.of(0, 2) })
  assert.deepEqual(decodePeerExchange(message).added, [
    { host: '1.2.3.4', port: 5, isComplete: true, isReachable: false },
  ])
})

test('decodePeerExchange() refuses cut lists and what is no dictionary', () => {
  const whole = encodePeerExchange({
    added: [{ host: '1.2.3.4', port: 5, isComplete: true, isReachable: true }],
    dropped: [{ host: 'fd00::1', port: 7 }],
  })
  for (let length = 0; length < whole.length; length++) {
    assert.throws(() => decodePeerExchange(whole.subarray(0, length)), refused)
  }
  for (const bad of [{ added: Buffer.alloc(5) }, { dropped6: Buffer.alloc(19) }, { added: 7 }]) {
    assert.throws(() => decodePeerExchange(encodeBencode(bad)), refused)
  }
  assert.throws(() => decodePeerExchange(Buffer.from('i1e')), refused)
})

test('decodePeerExchange() throws nothing but ERR_SI_PROTOCOL', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
      try {
        decodePeerExchange(bytes)
      } catch (error) {
        assert.ok(refused(error), String(error))
      }
    }),
  )
})

interface FakePeer extends ExchangePeer {
  readonly port: number
  readonly sent: { atMs: number; added: string[]; dropped: string[] }[]
}

function world(options: { readonly host?: string } = {}) {
  let nowMs = 0
  const members = new Map<string, FakePeer>()
  const told: string[] = []
  const exchange = new PeerExchange<FakePeer>({
    clock: { ...systemClock, monotonicMs: () => nowMs },
    random: () => 0.5,
    members: () =>
      [...members.values()].map((peer) => ({
        ...{ peer, listens: { host: peer.connection.remoteHost, port: peer.port } },
      })),
    onTold: (endpoints) => told.push(...endpoints.map(({ host, port }) => `${host}:${port}`)),
  })
  const show = ({ host, port }: { host: string; port: number }) => formatEndpoint(host, port)
  const join = (port: number, extra: { isComplete?: boolean; peerExchangeId?: number } = {}) => {
    const sent: FakePeer['sent'] = []
    const send = (message: WireMessage) => {
      assert.ok(message.type === 'extended' && message.id === 3)
      const { added, dropped } = decodePeerExchange(message.payload)
      sent.push({ atMs: nowMs, added: added.map(show).sort(), dropped: dropped.map(show) })
    }
    const remoteHost = options.host ?? `10.0.0.${port}`
    const peer = {
      ...{ connection: { remoteHost, isOutgoing: true, send }, port, sent },
      ...{ peerExchangeId: 3, isComplete: false, ...extra },
    }
    members.set(String(port), peer)
    return peer
  }
  const advance = (durationMs: number) => {
    for (const untilMs = nowMs + durationMs; nowMs < untilMs; nowMs += 250) exchange.tick()
  }
  return { exchange, members, told, join, advance }
}

test('a peer is told of all others two seconds after it came, then of changes once a minute', () => {
  const { members, join, advance } = world()
  const [a] = [join(1), join(2), join(3)]
  advance(3000)
  assert.deepEqual(a.sent, [{ atMs: 2000, added: ['10.0.0.2:2', '10.0.0.3:3'], dropped: [] }])
  members.delete('2')
  join(4)
  advance(58_000)
  assert.equal(a.sent.length, 1)
  advance(2000)
  assert.deepEqual(a.sent.slice(1), [
    { atMs: 62_000, added: ['10.0.0.4:4'], dropped: ['10.0.0.2:2'] },
  ])
  advance(300_000)
  assert.equal(a.sent.length, 2)
})

test('a peer that came alone is told of the next within seconds', () => {
  const { join, advance } = world()
  const a = join(1)
  advance(100_000)
  assert.deepEqual(a.sent, [])
  join(2)
  advance(6000)
  assert.deepEqual(
    a.sent.map(({ added }) => added),
    [['10.0.0.2:2']],
  )
})

test('a peer is told of 50 at most, and of the rest a minute later', () => {
  const { join, advance } = world()
  const a = join(1)
  for (let port = 2; port < 82; port++) join(port)
  advance(70_000)
  assert.deepEqual(
    a.sent.map(({ added }) => added.length),
    [50, 30],
  )
  assert.equal(new Set(a.sent.flatMap(({ added }) => added)).size, 80)
})

test('complete peers are not told of complete peers, nor anybody who takes no messages', () => {
  const { join, advance } = world()
  const seeder = join(1, { isComplete: true })
  const other = join(2, { isComplete: true })
  const leecher = join(3)
  const deaf = join(4, { peerExchangeId: 0 })
  advance(5000)
  assert.deepEqual(seeder.sent[0]?.added, ['10.0.0.3:3', '10.0.0.4:4'])
  assert.deepEqual(other.sent[0]?.added.length, 2)
  assert.deepEqual(leecher.sent[0]?.added.length, 3)
  assert.deepEqual(deaf.sent, [])
})

test('peers of one host are told of each other', () => {
  const { join, advance } = world({ host: '127.0.0.1' })
  const [a] = [join(1), join(2)]
  advance(5000)
  assert.deepEqual(a.sent[0]?.added, ['127.0.0.1:2'])
})

test('what peers tell is taken once in ten seconds, and only what can be a machine', () => {
  const { exchange, told, join, advance } = world()
  const a = join(1)
  const hosts = ['10.9.9.9', '127.0.0.1', '0.0.0.0', '224.0.0.1', 'fd00::5']
  const payload = encodePeerExchange({
    added: hosts.map((host) => ({ host, port: 7, isComplete: false, isReachable: false })),
    dropped: [],
  })
  exchange.receive(a, payload)
  exchange.receive(a, payload)
  assert.deepEqual(told, ['10.9.9.9:7', 'fd00::5:7'])
  exchange.receive(a, Buffer.from('not even read'))
  advance(10_000)
  exchange.receive(a, payload)
  assert.equal(told.length, 4)
  advance(10_000)
  assert.throws(() => exchange.receive(a, Buffer.from('nonsense')), refused)
})
