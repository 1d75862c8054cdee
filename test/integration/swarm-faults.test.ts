// Peers that lie, flood, stall or vanish, trackers that come and go: the download completes all the same
// and nothing stays open.
import assert from 'node:assert/strict'
import { connect, type Socket } from 'node:net'
import { test } from 'node:test'
import { createPeerId, decodeHandshake, encodeHandshake } from '../../src/swarm/wire/handshake.ts'
import { encodeMessage, encodePieceHead } from '../../src/swarm/wire/wire.ts'
import { failOnLeaks } from './descriptors.ts'
import { startFakePeer } from './fake-peer.ts'
import { createLab, nowhere, startTracker, until, within, type Lab } from './swarm-lab.ts'

failOnLeaks()

const LIMIT = { timeout: 60_000 }

async function lab16(): Promise<Lab> {
  return createLab({ sizeBytes: 4 * 2 ** 20, pieceLengthBytes: 2 ** 18 })
}

test('swarm: a peer that never answers requests holds nothing up', LIMIT, async () => {
  await using lab = await lab16()
  await using silent = await startFakePeer(lab.metainfo, () => {})
  await using getter = await lab.get({ peers: [silent.address] })
  await until(() => getter.torrent.stats().peers.length === 1, 'the silent peer')
  await using seeder = await lab.seed({ peers: [getter.address] })
  await within(getter.done, 'download')
  assert.ok((await getter.file()).equals(lab.content))
  assert.equal(seeder.torrent.stats().uploadedBytes >= lab.content.length, true)
})

test('swarm: peers of 1 KiB/s that hold every slot do not set the pace', LIMIT, async () => {
  await using lab = await lab16()
  const trickle = (socket: Socket, data: Buffer) => {
    // The first request, wherever it stands among the messages; all of it takes a minute.
    const at = data.indexOf(Buffer.from([0, 0, 0, 13, 6]))
    if (at < 0 || socket.listenerCount('pause') > 0) return
    socket.on('pause', () => {})
    const [pieceIndex, offsetBytes] = [data.readUInt32BE(at + 5), data.readUInt32BE(at + 9)]
    socket.write(encodePieceHead({ pieceIndex, offsetBytes, lengthBytes: 16384 }))
    const timer = setInterval(() => socket.write(Buffer.alloc(64)), 250)
    socket.on('close', () => clearInterval(timer))
  }
  await using slow = await startFakePeer(lab.metainfo, trickle)
  await using getter = await lab.get({ peers: [slow.address], slots: 1 })
  await until(() => getter.torrent.stats().peers.length === 1, 'the slow peer')
  await using seeder = await lab.seed({ peers: [getter.address] })
  await within(getter.done, 'download', 40_000)
  assert.ok((await getter.file()).equals(lab.content))
  assert.ok(seeder.torrent.stats().uploadedBytes > 0)
})

test('swarm: a 2 GiB length prefix closes the connection', LIMIT, async () => {
  await using lab = await lab16()
  await using bomb = await startFakePeer(lab.metainfo, (socket) => {
    socket.write(Buffer.from([0x7f, 0xff, 0xff, 0xff, 7]))
  })
  await using getter = await lab.get({ peers: [bomb.address] })
  await until(() => bomb.closed() > 0, 'the connection to be closed')
  await using seeder = await lab.seed({ peers: [getter.address] })
  await within(getter.done, 'download')
  assert.ok((await getter.file()).equals(lab.content))
  assert.equal(seeder.torrent.stats().piecesHave, 16)
})

test('swarm: a peer that hangs up at once is tried again ever later', LIMIT, async () => {
  await using lab = await lab16()
  await using rude = await startFakePeer(lab.metainfo, (socket) => socket.destroy())
  await using getter = await lab.get({ peers: [rude.address] })
  await until(() => rude.connections() === 3, 'three attempts')
  assert.equal(getter.torrent.stats().piecesHave, 0)
})

test(
  'swarm: requests beyond the piece, floods and strangers do not hurt a seeder',
  LIMIT,
  async () => {
    await using lab = await lab16()
    await using seeder = await lab.seed()
    const { infoHash } = lab.metainfo
    const hello = (peerId: string) =>
      encodeHandshake({ infoHash, peerId, supportsFast: true, supportsExtensions: false })
    const attacks = [
      Buffer.alloc(4096, 0x41),
      Buffer.concat([hello(createPeerId(Math.random)), Buffer.from([0xff, 0xff, 0xff, 0xff, 6])]),
      Buffer.concat([
        hello(createPeerId(Math.random)),
        encodeMessage({
          type: 'request',
          range: { pieceIndex: 0, offsetBytes: 2 ** 18 - 1, lengthBytes: 16384 },
        }),
      ]),
      Buffer.concat([
        hello(createPeerId(Math.random)),
        encodeMessage({ type: 'have', pieceIndex: 4_000_000_000 }),
      ]),
    ]
    for (const attack of attacks) await within(closedAfter(seeder.swarm.port, attack), 'hang-up')
    await using getter = await lab.get({ peers: [seeder.address] })
    await within(getter.done, 'download')
    assert.ok((await getter.file()).equals(lab.content))
  },
)

test('swarm: requests that nobody reads are refused, not gathered', LIMIT, async () => {
  await using lab = await lab16()
  await using seeder = await lab.seed()
  const socket = connect(seeder.swarm.port, '127.0.0.1')
  socket.on('error', () => {})
  const peerId = createPeerId(Math.random)
  const { infoHash } = lab.metainfo
  socket.write(encodeHandshake({ infoHash, peerId, supportsFast: true, supportsExtensions: false }))
  socket.write(encodeMessage({ type: 'interested' }))
  await until(() => seeder.torrent.stats().peers[0]?.isUnchoked === true, 'unchoke')
  const range = { pieceIndex: 1, offsetBytes: 0, lengthBytes: 16384 }
  const many = Buffer.concat(
    Array.from({ length: 20_000 }, () => encodeMessage({ type: 'request', range })),
  )
  socket.pause()
  socket.write(many)
  await using getter = await lab.get({ peers: [seeder.address] })
  await within(getter.done, 'download')
  const flooder = seeder.torrent.stats().peers.find((peer) => peer.client === 'SI0100')
  assert.ok((flooder?.uploadedBytes ?? 0) < 16 * 2 ** 20)
  socket.destroy()
})

test('swarm: a handshake for another torrent is not answered', LIMIT, async () => {
  await using lab = await lab16()
  await using seeder = await lab.seed()
  const other = encodeHandshake({
    infoHash: decodeHandshake(
      encodeHandshake({
        ...{ infoHash: lab.metainfo.infoHash, peerId: createPeerId(Math.random) },
        ...{ supportsFast: true, supportsExtensions: true },
      }).fill(7, 28, 48),
    ).infoHash,
    ...{ peerId: createPeerId(Math.random), supportsFast: true, supportsExtensions: true },
  })
  const received = await within(closedAfter(seeder.swarm.port, other), 'hang-up')
  assert.equal(received, 0)
})

test(
  'swarm: a tracker that is down at start and comes back brings peers together',
  LIMIT,
  async () => {
    await using lab = await lab16()
    const { port, url } = await useAndCloseTracker()
    await using seeder = await lab.seed({ trackers: [[url]] })
    await using getter = await lab.get({ trackers: [[url]] })
    await until(
      () => /ECONNREFUSED/.test(getter.torrent.stats().trackerStatus),
      'a refused announce',
    )
    await using tracker = await startTracker(port)
    await within(getter.done, 'download')
    assert.equal(tracker.port, port)
    assert.ok((await getter.file()).equals(lab.content))
    assert.equal(seeder.torrent.stats().trackerStatus, `announced to ${url}`)
  },
)

test('swarm: a dead tracker in the first tier does not hide the second', LIMIT, async () => {
  await using lab = await lab16()
  const { url } = await useAndCloseTracker()
  await using tracker = await startTracker()
  const trackers = [[url], [tracker.url]]
  await using seeder = await lab.seed({ trackers })
  await using getter = await lab.get({ trackers })
  await within(getter.done, 'download')
  assert.ok((await getter.file()).equals(lab.content))
  assert.equal(seeder.torrent.stats().trackerStatus, `announced to ${tracker.url}`)
})

test(
  'swarm: a download that failed at a peer goes on where it was with the next one',
  LIMIT,
  async () => {
    await using lab = await lab16()
    const first = await lab.seed({
      store: (store) => ({
        locate: nowhere,
        read: (index, offset, into) =>
          index % 2 === 0
            ? Promise.reject(new Error('disk error'))
            : store.read(index, offset, into),
        close: () => store.close(),
      }),
    })
    await using getter = await lab.get({ peers: [first.address] })
    await until(() => first.notes.length > 0, 'a read error')
    await using second = await lab.seed({ peers: [getter.address] })
    await within(getter.done, 'download')
    assert.match(first.notes[0] ?? '', /Cannot read piece \d+ for a peer: .*disk error/)
    assert.ok(second.torrent.stats().uploadedBytes > 0)
    await first[Symbol.asyncDispose]()
  },
)

test('swarm: close() leaves no handle and no timer', LIMIT, async () => {
  const before = process
    .getActiveResourcesInfo()
    .filter((name) => name !== 'Immediate')
    .toSorted()
  {
    await using lab = await lab16()
    await using seeder = await lab.seed()
    await using getter = await lab.get({ peers: [seeder.address] })
    await within(getter.done, 'download')
  }
  const after = () => process.getActiveResourcesInfo().filter((name) => name !== 'Immediate')
  await until(
    () => after().length <= before.length,
    `${after().join()} to be ${before.join()}`,
    3000,
  )
})

async function useAndCloseTracker(): Promise<{ readonly port: number; readonly url: string }> {
  const tracker = await startTracker()
  await tracker[Symbol.asyncDispose]()
  return tracker
}

/** Sends bytes to a port; resolves with the bytes received when the other side has hung up. */
function closedAfter(port: number, bytes: Uint8Array): Promise<number> {
  return new Promise((resolve) => {
    let receivedBytes = 0
    const socket = connect(port, '127.0.0.1', () => socket.write(bytes))
    socket.on('data', (data) => (receivedBytes += data.length))
    socket.on('error', () => {})
    socket.on('close', () => resolve(receivedBytes))
  })
}
