// The swarm on loopback: real sockets, real worker threads, files in a temporary folder.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isSiError } from '../../src/core/core.ts'
import { type PieceStore } from '../../src/swarm/swarm.ts'
import { failOnLeaks } from './descriptors.ts'
import { createLab, nowhere, until, within } from './swarm-lab.ts'

failOnLeaks()

const LIMIT = { timeout: 60_000 }

/** A store that reads no faster than this. */
function slowStore(delayMs: number): (store: PieceStore) => PieceStore {
  return (store) => ({
    locate: nowhere,
    async read(pieceIndex, offset, into) {
      await new Promise((resolve) => setTimeout(resolve, delayMs))
      await store.read(pieceIndex, offset, into)
    },
    close: () => store.close(),
  })
}

test('swarm: one seeder serves one getter', LIMIT, async () => {
  await using lab = await createLab({ sizeBytes: 8_000_001, pieceLengthBytes: 2 ** 18 })
  await using seeder = await lab.seed()
  await using getter = await lab.get({ peers: [seeder.address] })
  await within(getter.done, 'download')
  assert.ok((await getter.file()).equals(lab.content))
  const stats = getter.torrent.stats()
  assert.equal(stats.fromServerBytes, 8_000_001)
  assert.equal(stats.fromPeersBytes, 0)
  assert.equal(stats.wastedBytes, 0)
  assert.equal(seeder.torrent.stats().uploadedBytes, 8_000_001)
})

test('swarm: IPv6 works', LIMIT, async () => {
  await using lab = await createLab({ sizeBytes: 1_000_000, pieceLengthBytes: 2 ** 16 })
  await using seeder = await lab.seed({ host: '::1' })
  await using getter = await lab.get({ host: '::1', peers: [`[::1]:${seeder.swarm.port}`] })
  await within(getter.done, 'download')
  assert.ok((await getter.file()).equals(lab.content))
})

test('swarm: three getters give each other most of the bytes', LIMIT, async () => {
  await using lab = await createLab({ sizeBytes: 16 * 2 ** 20 - 7, pieceLengthBytes: 2 ** 18 })
  await using seeder = await lab.seed({ store: slowStore(40) })
  await using first = await lab.get({ peers: [seeder.address] })
  await using second = await lab.get({ peers: [seeder.address, first.address] })
  await using third = await lab.get({ peers: [seeder.address, first.address, second.address] })
  const getters = [first, second, third]
  await within(Promise.all(getters.map((getter) => getter.done)), 'downloads', 40_000)
  let fromPeersBytes = 0
  for (const getter of getters) {
    assert.ok((await getter.file()).equals(lab.content))
    fromPeersBytes += getter.torrent.stats().fromPeersBytes
  }
  assert.ok(fromPeersBytes > lab.content.length, `${fromPeersBytes} bytes from peers`)
})

test('swarm: a liar is dropped and the download completes', LIMIT, async () => {
  await using lab = await createLab({ sizeBytes: 8 * 2 ** 20, pieceLengthBytes: 2 ** 18 })
  await using seeder = await lab.seed({ store: slowStore(5) })
  await using liar = await lab.seed({
    role: 'node',
    store: (store) => ({
      locate: nowhere,
      async read(pieceIndex, offset, into) {
        await store.read(pieceIndex, offset, into)
        into[0] = (into[0] ?? 0) ^ 1
      },
      close: () => store.close(),
    }),
  })
  await using getter = await lab.get({ peers: [seeder.address, liar.address] })
  await within(getter.done, 'download')
  assert.ok((await getter.file()).equals(lab.content))
  assert.ok(getter.torrent.stats().badPieces > 0)
  assert.ok(getter.notes.some((note) => note.includes(`from ${liar.address} was wrong`)))
  await until(() => getter.torrent.stats().peers.every((p) => p.address !== liar.address), 'ban')
})

test('swarm: a liar is found among several contributors of the same pieces', LIMIT, async () => {
  await using lab = await createLab({ sizeBytes: 16 * 2 ** 20, pieceLengthBytes: 2 ** 20 })
  await using first = await lab.seed({ store: slowStore(30) })
  await using second = await lab.seed({ store: slowStore(30) })
  await using liar = await lab.seed({
    role: 'node',
    store: (store) => ({
      locate: nowhere,
      async read(pieceIndex, offset, into) {
        await slowStore(30)(store).read(pieceIndex, offset, into)
        into.fill(0, 5, 10)
      },
      close: () => store.close(),
    }),
  })
  const peers = [first.address, second.address, liar.address]
  await using getter = await lab.get({ peers })
  await within(getter.done, 'download', 40_000)
  assert.ok((await getter.file()).equals(lab.content))
  assert.ok(getter.torrent.stats().badPieces > 0)
  for (const honest of [first, second]) {
    assert.ok(!getter.notes.some((note) => note.includes(`from ${honest.address} was wrong`)))
  }
})

test(
  'swarm: nodes finish among themselves when the server dies after one copy',
  LIMIT,
  async () => {
    await using lab = await createLab({ sizeBytes: 16 * 2 ** 20, pieceLengthBytes: 2 ** 18 })
    const seeder = await lab.seed({ store: slowStore(20) })
    await using first = await lab.get({ peers: [seeder.address] })
    await using second = await lab.get({ peers: [seeder.address, first.address] })
    await using third = await lab.get({ peers: [seeder.address, first.address, second.address] })
    const getters = [first, second, third]
    const gone = new Set<number>()
    for (const getter of getters) getter.torrent.onPiece((index) => gone.add(index))
    await until(() => gone.size === lab.metainfo.pieceCount, 'one distributed copy')
    await seeder[Symbol.asyncDispose]()
    await within(Promise.all(getters.map((getter) => getter.done)), 'downloads', 40_000)
    for (const getter of getters) assert.ok((await getter.file()).equals(lab.content))
  },
)

test('swarm: a slow disk bounds memory and slows requests down', LIMIT, async () => {
  await using lab = await createLab({ sizeBytes: 8 * 2 ** 20, pieceLengthBytes: 2 ** 18 })
  await using seeder = await lab.seed()
  await using getter = await lab.get({
    ...{ peers: [seeder.address], slots: 3 },
    worker: { delayMs: 30 },
  })
  await within(getter.done, 'download')
  assert.ok((await getter.file()).equals(lab.content))
  assert.equal(getter.slab.peakUsedSlots, 3)
  await until(() => getter.slab.freeSlots === 3, 'slots back')
  assert.equal(getter.torrent.stats().wastedBytes, 0)
})

test('swarm: one slot is enough', LIMIT, async () => {
  await using lab = await createLab({ sizeBytes: 3 * 2 ** 20, pieceLengthBytes: 2 ** 18 })
  await using first = await lab.seed()
  await using second = await lab.seed({ role: 'node' })
  await using getter = await lab.get({ peers: [first.address, second.address], slots: 1 })
  await within(getter.done, 'download')
  assert.ok((await getter.file()).equals(lab.content))
})

test('swarm: an error of a piece worker ends the download with code and hint', LIMIT, async () => {
  await using lab = await createLab({ sizeBytes: 2 ** 20, pieceLengthBytes: 2 ** 18 })
  await using seeder = await lab.seed()
  await using getter = await lab.get({ peers: [seeder.address], worker: { brokenPiece: 2 } })
  await assert.rejects(within(getter.done, 'failure'), (error) => {
    assert.ok(isSiError(error, 'ERR_SI_TARGET_FULL'))
    assert.equal(error.message, 'Cannot write: disk full')
    assert.equal(error.hint, 'Make room')
    return true
  })
})

test('swarm: a piece worker that dies ends the download', LIMIT, async () => {
  await using lab = await createLab({ sizeBytes: 2 ** 20, pieceLengthBytes: 2 ** 18 })
  await using seeder = await lab.seed()
  await using getter = await lab.get({ peers: [seeder.address], worker: { fatalPiece: 1 } })
  await assert.rejects(within(getter.done, 'failure'), (error) => {
    assert.ok(isSiError(error, 'ERR_SI_SWARM'))
    assert.match(error.message, /piece worker broke down: it ended with status 3/)
    return true
  })
})

test('swarm: received() ends with the signal, and with close()', LIMIT, async () => {
  await using lab = await createLab({ sizeBytes: 2 ** 20, pieceLengthBytes: 2 ** 18 })
  await using getter = await lab.get()
  const abort = new AbortController()
  const waiting = getter.torrent.received([0], abort.signal)
  abort.abort()
  await assert.rejects(waiting, (error) => isSiError(error, 'ERR_SI_ABORTED'))
  await getter.torrent.close()
  await assert.rejects(getter.done, (error) => isSiError(error, 'ERR_SI_ABORTED'))
})

test('swarm: only wanted pieces are downloaded', LIMIT, async () => {
  await using lab = await createLab({ sizeBytes: 2 ** 21, pieceLengthBytes: 2 ** 18 })
  await using seeder = await lab.seed()
  await using getter = await lab.get()
  await using some = await lab.get({ peers: [seeder.address], wanted: [1, 3] })
  await within(some.torrent.received([1, 3]), 'two pieces')
  assert.equal(some.torrent.stats().downloadedBytes, 2 * 2 ** 18)
  assert.equal(some.torrent.stats().piecesHave, 2)
  assert.equal(getter.torrent.stats().piecesHave, 0)
})

test('swarm: an address that is our own, or there twice, gives no connection', LIMIT, async () => {
  await using lab = await createLab({ sizeBytes: 2 ** 20, pieceLengthBytes: 2 ** 16 })
  await using seeder = await lab.seed({ store: slowStore(30) })
  await using getter = await lab.get({
    peers: [seeder.address, seeder.address.replace('127.0.0.1', 'localhost')],
  })
  await using selfish = await lab.get({ port: 0 })
  selfish.torrent.stats()
  await within(getter.done, 'download')
  assert.equal(getter.torrent.stats().peers.length, 1)
})
