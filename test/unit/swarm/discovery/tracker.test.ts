// Talking to trackers: URLs, answers, and the order and pace of announces under a fake clock.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { isSiError, SiError } from '../../../../src/core/core.ts'
import { createTrackerClient } from '../../../../src/swarm/discovery/tracker-client.ts'
import {
  announceUrl,
  parseAnnounceReply,
  type Announce,
  type AnnounceReply,
} from '../../../../src/swarm/discovery/tracker-request.ts'
import { encodeBencode, parseInfoHash } from '../../../../src/torrent/torrent.ts'
import { fakeClock } from '../../../lab/fake-clock.ts'

const refused = (error: unknown) => isSiError(error, 'ERR_SI_TRACKER')

const IDENTITY = {
  infoHash: parseInfoHash('00ff2e7a'.repeat(5)),
  ...{ peerId: '-SI0100-abcdefghijkl', key: '1f', address: undefined, rack: undefined },
}
const ANNOUNCE: Announce = {
  ...IDENTITY,
  ...{ port: 6881, uploadedBytes: 1, downloadedBytes: 2, leftBytes: 3, event: 'started' },
  peersWanted: 50,
}

test('announceUrl() escapes bytes and keeps what the tracker URL had', () => {
  const url = announceUrl('http://tracker:80/announce?pass=1', ANNOUNCE).href
  assert.match(url, /^http:\/\/tracker\/announce\?pass=1&info_hash=%00%ff\.z%00%ff\.z/)
  assert.match(url, /&peer_id=-SI0100-abcdefghijkl&port=6881&uploaded=1&downloaded=2&left=3/)
  assert.match(url, /&compact=1&numwant=50&key=1f&event=started$/)
})

test('announceUrl() escapes the name of the rack', () => {
  const url = announceUrl('http://tracker/a', { ...ANNOUNCE, rack: 'row 2&left=0' }).href
  assert.match(url, /&rack=row%202%26left%3D0$/)
})

test('announceUrl() refuses other protocols', () => {
  for (const url of ['udp://t:1', 'file:///etc/passwd', 'nonsense', '']) {
    assert.throws(() => announceUrl(url, ANNOUNCE), refused)
  }
})

test('parseAnnounceReply() reads compact and long lists, IPv4 and IPv6', () => {
  const reply = parseAnnounceReply(
    encodeBencode({
      interval: 30,
      'min interval': 10,
      peers: Buffer.from([10, 0, 0, 1, 0x1a, 0xe1, 10, 0, 0, 2, 0, 0]),
      peers6: Buffer.concat([
        Buffer.from('fd000000000000000000000000000001', 'hex'),
        Buffer.from([0, 80]),
      ]),
    }),
  )
  assert.deepEqual(reply, {
    ...{ intervalMs: 30_000, minIntervalMs: 10_000, warning: undefined },
    peers: [
      { host: '10.0.0.1', port: 6881 },
      { host: 'fd00::1', port: 80 },
    ],
  })
  const long = {
    interval: 1,
    peers: [
      { ip: 'node1', port: 5 },
      { ip: 'a b', port: 5 },
      { ip: 'x', port: 0 },
    ],
  }
  assert.deepEqual(parseAnnounceReply(encodeBencode(long)).peers, [{ host: 'node1', port: 5 }])
})

test('parseAnnounceReply() gives the reason of a failure, without control characters', () => {
  assert.throws(
    () => parseAnnounceReply(encodeBencode({ 'failure reason': 'no\u001b[2J' })),
    (error) => refused(error) && error instanceof SiError && error.message === 'no?[2J',
  )
})

test('parseAnnounceReply() throws nothing but ERR_SI_TRACKER', () => {
  const good = encodeBencode({
    interval: 30,
    peers: Buffer.alloc(6, 9),
    peers6: Buffer.alloc(18, 9),
  })
  fc.assert(
    fc.property(fc.nat(good.length - 1), fc.nat(255), fc.nat(good.length), (at, value, length) => {
      const damaged = Buffer.from(good.subarray(0, length))
      if (at < length) damaged[at] = value
      try {
        parseAnnounceReply(damaged)
      } catch (error) {
        assert.ok(refused(error), String(error))
      }
    }),
    { numRuns: 1000 },
  )
})

function scripted(answer: (tracker: string) => Partial<AnnounceReply> | Error) {
  const clock = fakeClock()
  const log: string[] = []
  const client = createTrackerClient({
    tiers: [['http://a', 'http://b'], ['http://c']],
    identity: IDENTITY,
    facts: () => ({ port: 1, uploadedBytes: 0, downloadedBytes: 0, leftBytes: 9, peersWanted: 50 }),
    onPeers: () => {},
    ...{ clock, random: () => 0.5 },
    send: (tracker, announce) => {
      log.push(`${clock.monotonicMs()} ${tracker} ${announce.event ?? '-'}`)
      const reply = answer(tracker)
      if (reply instanceof Error) return Promise.reject(reply)
      return Promise.resolve({
        ...{ intervalMs: 30_000, minIntervalMs: undefined, peers: [], warning: undefined },
        ...reply,
      })
    },
  })
  return { clock, log, client }
}

test('a tracker client keeps the interval, and says started, completed and stopped once', async () => {
  const { clock, log, client } = scripted(() => ({}))
  await clock.advance(31_000)
  client.completed()
  await clock.advance(40_000)
  await client.close()
  await clock.advance(100_000)
  assert.deepEqual(log, [
    '0 http://a started',
    '30000 http://a -',
    '31000 http://a completed',
    '61000 http://a -',
    '71000 http://a stopped',
  ])
})

test('a tracker client goes through tiers and remembers who answered', async () => {
  const { clock, log } = scripted((tracker) => (tracker === 'http://b' ? {} : new Error('down')))
  await clock.advance(30_000)
  assert.deepEqual(log, ['0 http://a started', '0 http://b started', '30000 http://b -'])
})

test('a tracker client retries soon, then less often, and says started again until it is heard', async () => {
  let isUp = false
  const { clock, log, client } = scripted((tracker) =>
    isUp && tracker === 'http://c' ? {} : new Error('down'),
  )
  await clock.advance(8000)
  assert.equal(client.status, 'down')
  assert.deepEqual(
    log.filter((line) => line.includes('http://c')),
    [0, 500, 1500, 3500, 7500].map((ms) => `${ms} http://c started`),
  )
  isUp = true
  await clock.advance(8000)
  assert.equal(log.at(-1), '15500 http://c started')
  assert.equal(client.status, 'announced to http://c')
})

test('a tracker client leaves a dead tracker alone for longer each time another answers', async () => {
  let isUp = false
  const { clock, log, client } = scripted((tracker) =>
    isUp || tracker === 'http://c' ? {} : new Error('down'),
  )
  await clock.advance(140_000)
  const triedMs = log.filter((line) => line.includes('http://a')).map((line) => parseInt(line))
  assert.deepEqual(triedMs, [0, 30_000, 90_000])
  isUp = true
  await clock.advance(100_000)
  assert.ok(log.includes('180000 http://a started'))
  await client.close()
  assert.equal(log.at(-1), '240000 http://a stopped')
})

test('a tracker client asks all again when the one that answered fails, too', async () => {
  let isDown = false
  const { clock, log } = scripted((tracker) =>
    tracker === 'http://c' && !isDown ? {} : new Error('down'),
  )
  await clock.advance(20_000)
  isDown = true
  await clock.advance(10_500)
  const later = log.filter((line) => parseInt(line) > 0)
  assert.deepEqual(later, [
    ...['30000 http://a started', '30000 http://b started', '30000 http://c -'],
    ...['30500 http://a started', '30500 http://b started', '30500 http://c -'],
  ])
})

test('a tracker client says good-bye to the tracker that answered last', async () => {
  const { clock, log, client } = scripted((tracker) =>
    tracker === 'http://c' ? {} : new Error('down'),
  )
  await clock.advance(1000)
  await client.close()
  assert.equal(log.at(-1), '1000 http://c stopped')
})

test('hurry() announces as soon as the tracker allows, not sooner', async () => {
  const { clock, log, client } = scripted(() => ({ minIntervalMs: 5000 }))
  await clock.advance(1000)
  client.hurry()
  client.hurry()
  await clock.advance(10_000)
  assert.deepEqual(log, ['0 http://a started', '5000 http://a -'])
})
