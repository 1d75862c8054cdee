// The rounds of the engine bench, in a network of their own: `engine-rounds.ts OPTIONS` (as JSON) prints
// its results as JSON. Contestants take turns within each round; each turn has fresh programs, the same
// file to seed, already in the page cache, and an empty directory to download to.
import { mkdir, readFile, rm, statfs } from 'node:fs/promises'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { run } from '../../src/host/host.ts'
import { parseMetainfo, type InfoHash } from '../../src/torrent/torrent.ts'
import { createTracker, type Tracker } from '../../src/tracker/tracker.ts'
import { type ClientTask } from '../lab/foreign/torrent-client.ts'
import { ownAddress } from '../lab/own-network.ts'
import { waitFor, withScope, type Scope } from '../lab/scope.ts'
import type { EngineOptions, EngineResult, Storage } from './bench-engine.ts'
import { engineContestants, type EngineContestant } from './engine-contestants.ts'
import { NOISE_PATH, writeNoiseTorrent } from './noise-torrent.ts'
import { measureTransfer, type Transfer } from './transfer.ts'

const TRACKER_PORT = 6969
const TRACKER_URL = `http://${ownAddress()}:${TRACKER_PORT}/announce`

/** Longer than a transfer: nobody announces in the middle of it. */
const ANNOUNCE_INTERVAL_MS = 10 * 60_000

const ANNOUNCE_MS = 30_000

/** Of statfs(2). */
const TMPFS_MAGIC = 0x01021994

interface Site {
  readonly scope: Scope
  readonly sizeBytes: number
  readonly tracker: Tracker
  readonly torrentPath: string
  readonly infoHash: InfoHash
  /** Holds the complete file. */
  readonly seedDirectory: string
  readonly getDirectory: string
}

async function runAll(scope: Scope, options: EngineOptions): Promise<EngineResult[]> {
  const contestants = engineContestants(options)
  const tracker = await startTracker(scope)
  const results: EngineResult[] = []
  for (const storage of options.storages) {
    const directory = await makeStorage(scope, storage)
    const site = await prepareSite(directory, { scope, tracker, ...options })
    for (let round = 0; round < options.rounds; round++) {
      for (const contestant of contestants.filter(({ mostRounds }) => round < mostRounds)) {
        const transfer = await takeTurn(site, contestant)
        results.push({ storage, contestant: contestant.name, round, transfer })
        const rate = options.sizeBytes / 1e6 / transfer.seconds
        console.error(`${storage}, round ${round + 1}: ${contestant.name} ${rate.toFixed(0)} MB/s`)
      }
    }
    await rm(site.seedDirectory, { recursive: true })
    await rm(site.getDirectory, { recursive: true })
  }
  return results
}

async function takeTurn(site: Site, contestant: EngineContestant): Promise<Transfer> {
  const { scope, tracker, infoHash, torrentPath, seedDirectory, getDirectory } = site
  await rm(getDirectory, { recursive: true, force: true })
  await mkdir(getDirectory)
  await run('sync', []) // what the turn before wrote is not this one's burden
  tracker.forget(infoHash)
  const task = (directory: string): ClientTask => ({
    ...{ torrentPath, directory, host: ownAddress(), encryption: 'plain' },
  })
  const seeder = await contestant.seed(scope, task(seedDirectory))
  if (contestant.speaksBitTorrent) {
    await waitFor(`${contestant.name}: an announce`, () => tracker.peerCount(infoHash) === 1, {
      ...{ deadlineMs: ANNOUNCE_MS, signal: scope.signal },
    })
  }
  const startGetter = () => contestant.get(scope, task(getDirectory), seeder)
  const transfer = await measureTransfer({ sizeBytes: site.sizeBytes, seeder, startGetter })
  await seeder.close()
  if (contestant.speaksBitTorrent) {
    await run('cmp', [join(seedDirectory, NOISE_PATH), join(getDirectory, NOISE_PATH)])
  }
  return transfer
}

async function prepareSite(
  directory: string,
  options: EngineOptions & Pick<Site, 'scope' | 'tracker'>,
): Promise<Site> {
  const { scope, tracker, sizeBytes, pieceLengthBytes } = options
  const seedDirectory = join(directory, 'seed')
  const torrentPath = join(directory, 'noise.torrent')
  const noise = { sizeBytes, pieceLengthBytes, tracker: TRACKER_URL }
  await writeNoiseTorrent(noise, { directory: seedDirectory, torrentPath })
  const { infoHash } = parseMetainfo(await readFile(torrentPath))
  const getDirectory = join(directory, 'get')
  return { scope, sizeBytes, tracker, torrentPath, infoHash, seedDirectory, getDirectory }
}

/** A folder in memory or on a disk, gone with the scope. */
async function makeStorage(scope: Scope, storage: Storage): Promise<string> {
  const directory = join(scope.directory, storage)
  await mkdir(directory)
  if (storage === 'tmpfs') {
    scope.defer(directory, () => run('umount', [directory], { okExitCodes: [0, 1, 32] }))
    await run('mount', ['-t', 'tmpfs', '-o', 'size=95%', 'tmpfs', directory])
  } else if ((await statfs(directory)).type === TMPFS_MAGIC) {
    throw new Error(`${directory} is no disk; name a folder on one with TMPDIR`)
  }
  return directory
}

async function startTracker(scope: Scope): Promise<Tracker> {
  const tracker = createTracker({ intervalMs: ANNOUNCE_INTERVAL_MS, isKnown: () => true })
  const server = createServer((request, response) => tracker.handle(request, response))
  scope.defer('tracker', async () => {
    tracker.close()
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })
  await new Promise<void>((resolve) => server.listen(TRACKER_PORT, ownAddress(), resolve))
  return tracker
}

const options = JSON.parse(process.argv[2] ?? '') as EngineOptions
const results = await withScope((scope) => runAll(scope, options))
console.log(JSON.stringify(results))
