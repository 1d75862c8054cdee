// Machines come and go in the middle of a deployment: nodes are switched off, come back with what they
// had, run out of room; the tracker is restarted. Those that stay complete, and nothing stays open.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isSiError } from '../../src/core/core.ts'
import { Bitfield } from '../../src/torrent/torrent.ts'
import { failOnLeaks } from './descriptors.ts'
import { createLab, startTracker, until, within, type Getter, type Lab } from './swarm-lab.ts'

failOnLeaks()

const LIMIT = { timeout: 60_000 }
const PIECES = 64
const PIECE_BYTES = 2 ** 17

function makeLab(): Promise<Lab> {
  return createLab({ sizeBytes: PIECES * PIECE_BYTES, pieceLengthBytes: PIECE_BYTES })
}

/** So that a deployment lasts long enough to be disturbed. */
const SLOWLY = { worker: { delayMs: 15 } }

function has(node: Getter, share: number): boolean {
  return node.torrent.stats().piecesHave >= PIECES * share
}

async function isWhole(lab: Lab, node: Getter): Promise<boolean> {
  await within(node.done, 'download', 30_000)
  return (await node.file()).equals(lab.content)
}

test('swarm: half of the nodes are switched off at 50 %, the others complete', LIMIT, async () => {
  await using lab = await makeLab()
  await using seeder = await lab.seed()
  await using stack = new AsyncDisposableStack()
  const nodes: Getter[] = []
  for (let count = 0; count < 6; count++) {
    const peers = [seeder.address, ...nodes.map(({ address }) => address)]
    nodes.push(stack.use(await lab.get({ peers, ...SLOWLY })))
  }
  const [leaving, staying] = [nodes.slice(0, 3), nodes.slice(3)]
  const switchOff = async (node: Getter) => {
    await until(() => has(node, 0.5), 'half of the pieces')
    assert.ok(!has(node, 1), 'it was to be switched off before it is complete')
    await node[Symbol.asyncDispose]()
  }
  await Promise.all(leaving.map(switchOff))
  for (const node of staying) assert.ok(await isWhole(lab, node))
})

test(
  'swarm: a node that comes back with 60 % fetches the rest and gives what it has',
  LIMIT,
  async () => {
    await using lab = await makeLab()
    const kept = new Bitfield(PIECES)
    while (kept.count < Math.ceil(PIECES * 0.6)) kept.set(kept.count)
    await using back = await lab.get({ have: kept, wanted: missingOf(kept) })
    await using fresh = await lab.get({ peers: [back.address] })
    await until(() => fresh.torrent.stats().piecesHave === kept.count, 'what came back')
    await using seeder = await lab.seed({ peers: [back.address, fresh.address] })
    assert.ok(await isWhole(lab, back))
    assert.ok(await isWhole(lab, fresh))
    assert.ok(back.torrent.stats().downloadedBytes < 0.5 * lab.content.length)
    assert.ok(seeder.torrent.stats().uploadedBytes > 0)
  },
)

function missingOf(pieces: Bitfield): number[] {
  return Array.from({ length: pieces.length }, (_, index) => index).filter((i) => !pieces.has(i))
}

test('swarm: a tracker killed half-way and started again brings newcomers in', LIMIT, async () => {
  await using lab = await makeLab()
  const first = await startTracker()
  const trackers = [[first.url]]
  await using seeder = await lab.seed({ trackers })
  await using node = await lab.get({ trackers, ...SLOWLY })
  await until(() => has(node, 0.5), 'half of the pieces')
  await first[Symbol.asyncDispose]()
  assert.ok(await isWhole(lab, node))
  await using newcomer = await lab.get({ trackers })
  await until(() => isRefused(newcomer), 'a refused announce')
  assert.equal(newcomer.torrent.stats().peers.length, 0)
  await using second = await startTracker(first.port)
  assert.ok(await isWhole(lab, newcomer))
  assert.equal(second.port, first.port)
  assert.ok(seeder.torrent.stats().uploadedBytes >= lab.content.length)
})

function isRefused({ torrent }: Getter): boolean {
  return torrent.stats().trackerStatus.includes('ECONNREFUSED')
}

test(
  'swarm: a node without room ends with a clear error, its neighbours complete',
  LIMIT,
  async () => {
    await using lab = await makeLab()
    await using seeder = await lab.seed()
    const peers = [seeder.address]
    await using full = await lab.get({ peers, ...{ worker: { brokenPiece: PIECES / 2 } } })
    await using neighbour = await lab.get({ peers: [seeder.address, full.address] })
    await assert.rejects(within(full.done, 'the failure'), (error) => {
      return isSiError(error, 'ERR_SI_TARGET_FULL') && error.hint === 'Make room'
    })
    assert.ok(await isWhole(lab, neighbour))
  },
)
