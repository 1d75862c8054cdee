// One case of the interoperability tests, in a network of its own (lab/own-network.ts), so that even
// transmission connects by itself: `interop-case.ts gets|seeds CLIENT` or `interop-case.ts swarm`.
// All find each other through our tracker, and the foreign ones try to connect encrypted first.
import assert from 'node:assert/strict'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { Bitfield } from '../../src/torrent/torrent.ts'
import { FOREIGN_CLIENTS } from '../lab/foreign/foreign-clients.ts'
import { type ClientTask, type TorrentClient } from '../lab/foreign/torrent-client.ts'
import { ownAddress } from '../lab/own-network.ts'
import { withScope, type Scope } from '../lab/scope.ts'
import { within } from '../lab/within.ts'
import { findDifferences, treeOf, writeSample, writeTree, type Sample } from './interop-sample.ts'
import { startGetter, startSeeder, startTracker, until, type Getter } from './swarm-lab.ts'

const TRANSFER_MS = 60_000

interface Site {
  readonly scope: Scope
  readonly sample: Sample
  readonly trackers: readonly (readonly string[])[]
}

/** A folder for one member, with those pieces in it that it begins with. */
async function makeHome(
  { scope, sample }: Site,
  name: string,
  held?: (pieceIndex: number) => boolean,
): Promise<string> {
  const directory = join(scope.directory, name)
  await mkdir(directory)
  if (held !== undefined) await writeTree(sample, directory, held)
  return directory
}

/** The tracker and our nodes are at the first address. */
function taskIn(site: Site, directory: string, host = 2): ClientTask {
  const { torrentPath } = site.sample
  return { torrentPath, directory, host: ownAddress(host), encryption: 'preferred' }
}

async function clientGetsFromUs(site: Site, client: TorrentClient): Promise<void> {
  const { scope, sample, trackers } = site
  const ours = await makeHome(site, 'ours', () => true)
  const theirs = await makeHome(site, client.name)
  const directory = treeOf(sample, ours)
  const { metainfo } = sample
  await using seeder = await startSeeder({ metainfo, directory, trackers, host: ownAddress() })
  await until(() => seeder.torrent.stats().trackerStatus.includes('announced'), 'our announce')
  const getter = await client.get(scope, taskIn(site, theirs))
  await within(getter.done, `the download by ${client.name}`, TRANSFER_MS)
  await getter.close()
  assert.deepEqual(await findDifferences(sample, theirs), [])
  const neededBytes = metainfo.files.reduce(
    (sum, file) => sum + (file.isPad ? 0 : file.lengthBytes),
    0,
  )
  assert.ok(seeder.torrent.stats().uploadedBytes >= neededBytes)
}

async function clientSeedsToUs(site: Site, client: TorrentClient): Promise<void> {
  const { scope, sample, trackers } = site
  const theirs = await makeHome(site, client.name, () => true)
  const seeder = await client.seed(scope, taskIn(site, theirs))
  const { metainfo, content } = sample
  const path = join(scope.directory, 'ours')
  await using getter = await startGetter({ metainfo, content, path, trackers, host: ownAddress() })
  await within(getter.done, `the download from ${client.name}`, TRANSFER_MS)
  assert.ok((await getter.file()).equals(content))
  assert.deepEqual(getter.notes, [])
  await seeder.close()
}

const OUR_NODES = 3

/** Each member begins with pieces that nobody else has, so each must give for all to complete. */
async function allExchange(site: Site): Promise<void> {
  const { scope, sample, trackers } = site
  const { metainfo, content } = sample
  const memberCount = OUR_NODES + FOREIGN_CLIENTS.length
  const heldBy = (member: number) => (index: number) => index % memberCount === member
  await using stack = new AsyncDisposableStack()
  const nodes: Getter[] = []
  for (let member = 0; member < OUR_NODES; member++) {
    const have = new Bitfield(metainfo.pieceCount)
    for (let index = 0; index < metainfo.pieceCount; index++) {
      if (heldBy(member)(index)) have.set(index)
    }
    const path = join(scope.directory, `ours${member}`)
    const options = { metainfo, content, path, have, trackers, host: ownAddress() }
    nodes.push(stack.use(await startGetter(options)))
  }
  const foreign = await Promise.all(
    FOREIGN_CLIENTS.map(async (client, index) => {
      const directory = await makeHome(site, client.name, heldBy(OUR_NODES + index))
      const getter = await client.get(scope, taskIn(site, directory, 2 + index))
      return { client, directory, getter }
    }),
  )
  await Promise.all([
    ...nodes.map(({ done }, index) => within(done, `our node ${index}`, TRANSFER_MS)),
    ...foreign.map(({ client, getter }) => within(getter.done, client.name, TRANSFER_MS)),
  ])
  for (const node of nodes) assert.ok((await node.file()).equals(content))
  for (const { getter, directory } of foreign) {
    await getter.close()
    assert.deepEqual(await findDifferences(sample, directory), [])
  }
}

const [name, clientName] = process.argv.slice(2)
const client = FOREIGN_CLIENTS.find((known) => known.name === clientName)

await withScope(async (scope) => {
  await using tracker = await startTracker(0, ownAddress())
  const sample = await writeSample(scope.directory, tracker.url)
  const site: Site = { scope, sample, trackers: [[tracker.url]] }
  if (name === 'gets' && client !== undefined) await clientGetsFromUs(site, client)
  else if (name === 'seeds' && client !== undefined) await clientSeedsToUs(site, client)
  else if (name === 'swarm') await allExchange(site)
  else throw new Error(`There is no case "${name} ${clientName}"`)
})
