// Swarms whose sockets live on several threads. What holds with one thread must hold here.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { type Worker } from 'node:worker_threads'
import { run } from '../../src/host/host.ts'
import { type PieceStore } from '../../src/swarm/swarm.ts'
import { encodeMetainfo } from '../../src/torrent/torrent.ts'
import { failOnLeaks } from './descriptors.ts'
import { createLab, nowhere, startTracker, until, within, type Member } from './swarm-lab.ts'

const LIMIT = { timeout: 60_000 }
const MIB = 2 ** 20

failOnLeaks()

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

/** Stores that read nothing before open() was called: until then nobody can be faster than others. */
function createGate() {
  const { promise, resolve: open } = Promise.withResolvers<void>()
  const store = (inner: PieceStore): PieceStore => ({
    locate: nowhere,
    async read(...place) {
      await promise
      await inner.read(...place)
    },
    close: () => inner.close(),
  })
  return { store, open }
}

/** A store that lies in every block it reads. */
function lyingStore(store: PieceStore): PieceStore {
  return {
    locate: nowhere,
    async read(pieceIndex, offset, into) {
      await store.read(pieceIndex, offset, into)
      into[0] = (into[0] ?? 0) ^ 1
    },
    close: () => store.close(),
  }
}

/** The threads that are started while `body` runs. */
async function threadsOf<T>(body: () => Promise<T>): Promise<readonly [T, readonly Worker[]]> {
  const workers: Worker[] = []
  const note = (worker: Worker) => workers.push(worker)
  process.on('worker', note)
  try {
    const result = await body()
    await setImmediate() // threads are announced at the end of the turn
    return [result, workers]
  } finally {
    process.off('worker', note)
  }
}

function addressesOf(members: readonly Member[]): string[] {
  return members.map(({ address }) => address)
}

test(
  'lanes: one seeder serves one getter, every byte once, and nothing stays open',
  LIMIT,
  async () => {
    await using lab = await createLab({ sizeBytes: 8_000_001, pieceLengthBytes: 2 ** 18 })
    await using seeder = await lab.seed({ lanes: 2, isFirstLaneTaken: true })
    await using getter = await lab.get({ lanes: 2, peers: [seeder.address] })
    await within(getter.done, 'download')
    assert.ok((await getter.file()).equals(lab.content))
    const stats = getter.torrent.stats()
    assert.equal(stats.downloadedBytes, 8_000_001)
    assert.equal(stats.fromServerBytes, 8_000_001)
    assert.equal(stats.wastedBytes, 0)
    await until(() => seeder.torrent.stats().uploadedBytes === 8_000_001, 'the count of all')
  },
)

test(
  'lanes: a getter downloads from several seeders, each known by its address',
  LIMIT,
  async () => {
    await using lab = await createLab({ sizeBytes: 16 * MIB, pieceLengthBytes: 2 ** 18 })
    const { store, open } = createGate()
    await using first = await lab.seed({ store })
    await using second = await lab.seed({ store, lanes: 3 })
    await using third = await lab.seed({ store })
    const seeders = [first, second, third]
    await using getter = await lab.get({ lanes: 2, peers: addressesOf(seeders) })
    const askedPeers = () => getter.torrent.stats().peers.filter((peer) => !peer.isChokingUs)
    await until(() => askedPeers().length === 3, 'all seeders')
    const seen = new Set(askedPeers().map(({ address }) => address))
    assert.deepEqual(seen, new Set(addressesOf(seeders)))
    open()
    await within(getter.done, 'download', 40_000)
    assert.ok((await getter.file()).equals(lab.content))
    for (const seeder of seeders) assert.ok(seeder.torrent.stats().uploadedBytes > 0)
  },
)

test('lanes: getters with lanes give each other what they have', LIMIT, async () => {
  await using lab = await createLab({ sizeBytes: 16 * MIB, pieceLengthBytes: 2 ** 18 })
  await using seeder = await lab.seed({ store: slowStore(40), lanes: 2, isFirstLaneTaken: true })
  await using first = await lab.get({ lanes: 2, peers: [seeder.address] })
  await using second = await lab.get({ lanes: 2, peers: [seeder.address, first.address] })
  const getters = [first, second]
  await within(Promise.all(getters.map((getter) => getter.done)), 'downloads', 40_000)
  for (const getter of getters) assert.ok((await getter.file()).equals(lab.content))
  const fromPeersBytes = getters.map((getter) => getter.torrent.stats().fromPeersBytes)
  assert.ok(fromPeersBytes.reduce((a, b) => a + b) > 4 * MIB, `${fromPeersBytes} bytes from peers`)
})

test('lanes: a liar is found among several contributors and banned', LIMIT, async () => {
  await using lab = await createLab({ sizeBytes: 16 * MIB, pieceLengthBytes: MIB })
  const gate = createGate()
  const store = (inner: PieceStore) => gate.store(slowStore(30)(inner))
  await using first = await lab.seed({ store })
  await using second = await lab.seed({ store })
  await using liar = await lab.seed({
    ...{ role: 'node', lanes: 2 },
    store: (inner) => lyingStore(store(inner)),
  })
  const peers = addressesOf([first, second, liar])
  await using getter = await lab.get({ lanes: 2, peers })
  await until(() => getter.torrent.stats().peers.length === 3, 'all seeders')
  gate.open()
  await within(getter.done, 'download', 40_000)
  assert.ok((await getter.file()).equals(lab.content))
  assert.ok(getter.torrent.stats().badPieces > 0)
  for (const honest of [first, second]) {
    assert.ok(!getter.notes.some((note) => note.includes(`from ${honest.address} was wrong`)))
  }
  await until(() => getter.torrent.stats().peers.every((p) => p.address !== liar.address), 'ban')
})

test(
  'lanes: the end game asks on another lane, and what comes late spoils nothing',
  LIMIT,
  async () => {
    await using lab = await createLab({ sizeBytes: 4 * MIB, pieceLengthBytes: MIB })
    await using slow = await lab.seed({ store: slowStore(1500) })
    await using fast = await lab.seed({ store: slowStore(20) })
    await using getter = await lab.get({ lanes: 2, peers: addressesOf([slow, fast]) })
    await within(getter.done, 'download')
    assert.ok((await getter.file()).equals(lab.content))
    await until(() => getter.slab.freeSlots === getter.slab.slots, 'slots back')
    assert.ok((await getter.file()).equals(lab.content))
  },
)

test('lanes: IPv6 works', LIMIT, async () => {
  await using lab = await createLab({ sizeBytes: 1_000_000, pieceLengthBytes: 2 ** 16 })
  const { store, open } = createGate()
  const seed = () => lab.seed({ host: '::1', lanes: 2, isFirstLaneTaken: true, store })
  await using first = await seed()
  await using second = await seed()
  const addresses = [first, second].map(({ swarm }) => `[::1]:${swarm.port}`)
  await using getter = await lab.get({ host: '::1', lanes: 2, peers: addresses })
  await until(() => getter.torrent.stats().peers.length === 2, 'both seeders')
  const seen = getter.torrent.stats().peers.map(({ address }) => address)
  assert.deepEqual(new Set(seen), new Set(addresses))
  open()
  await within(getter.done, 'download')
  assert.ok((await getter.file()).equals(lab.content))
})

for (const { how, flags } of [
  { how: 'asks for 16 KiB', flags: [] },
  {
    how: 'insists on encryption',
    flags: ['--bt-require-crypto=true', '--bt-min-crypto-level=arc4'],
  },
]) {
  test(`lanes: a client that ${how} is served`, LIMIT, async () => {
    await using lab = await createLab({ sizeBytes: 12_345_678, pieceLengthBytes: 2 ** 18 })
    await using tracker = await startTracker()
    await using seeder = await lab.seed({
      lanes: 2,
      isFirstLaneTaken: true,
      trackers: [[tracker.url]],
    })
    await until(() => seeder.torrent.stats().trackerStatus.includes('announced'), 'announce')
    const torrent = join(lab.directory, 'tracked.torrent')
    const { infoBytes } = lab.metainfo
    await writeFile(torrent, encodeMetainfo({ infoBytes, trackers: [[tracker.url]] }))
    const target = join(lab.directory, 'aria2')
    await run('aria2c', [
      ...['--no-conf=true', '--enable-dht=false', '--enable-dht6=false', '--bt-enable-lpd=false'],
      ...['--enable-peer-exchange=false', '--file-allocation=none', '--seed-time=0'],
      ...['--console-log-level=warn', '--summary-interval=0', `--dir=${target}`, ...flags, torrent],
    ])
    assert.ok((await readFile(join(target, 'payload', 'payload.bin'))).equals(lab.content))
    await until(() => seeder.torrent.stats().uploadedBytes >= lab.content.length, 'the count')
  })
}

for (const { kills, rest } of [
  { kills: 1, rest: 'the others go on' },
  { kills: 2, rest: 'the network thread goes on' },
]) {
  test(
    `lanes: when ${kills} of 2 threads beside it dies, ${rest} and the download completes`,
    LIMIT,
    async () => {
      await using lab = await createLab({ sizeBytes: 16 * MIB, pieceLengthBytes: 2 ** 18 })
      await using first = await lab.seed({ store: slowStore(20) })
      await using second = await lab.seed({ store: slowStore(20) })
      await using third = await lab.seed({ store: slowStore(20) })
      const peers = addressesOf([first, second, third])
      const start = () => lab.get({ lanes: 3, peers, threads: 1 })
      const [getter, threads] = await threadsOf(start)
      await using member = getter
      const lanes = threads.slice(1) // the piece worker is started first
      assert.equal(lanes.length, 2)
      await new Promise<void>((resolve) => void getter.torrent.onPiece(() => resolve()))
      for (const lane of lanes.slice(0, kills)) await lane.terminate()
      await within(getter.done, 'download', 40_000)
      assert.ok((await getter.file()).equals(lab.content))
      const notes = getter.notes.filter((note) => note.includes('Network lane broke down'))
      assert.equal(notes.length, kills)
      assert.equal(member.torrent.stats().piecesWanted, 0)
    },
  )
}

test('lanes: close() ends their threads and hangs up', LIMIT, async () => {
  await using lab = await createLab({ sizeBytes: 16 * MIB, pieceLengthBytes: 2 ** 18 })
  await using seeder = await lab.seed({ store: slowStore(50) })
  await using other = await lab.seed({ store: slowStore(50) })
  const peers = addressesOf([seeder, other])
  const [getter, threads] = await threadsOf(() => lab.get({ lanes: 2, peers }))
  assert.equal(threads.length, 2) // a piece worker and a lane
  await until(() => getter.torrent.stats().piecesHave > 0, 'a piece')
  const ends = threads.map((thread) => once(thread, 'exit'))
  await getter[Symbol.asyncDispose]()
  await within(Promise.all(ends), 'the end of all threads')
  const isLeft = ({ torrent }: Member) => torrent.stats().peers.every((peer) => peer.isServer)
  await until(() => isLeft(seeder) && isLeft(other), 'the end of the connections')
})
