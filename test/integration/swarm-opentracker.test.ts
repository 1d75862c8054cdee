// opentracker in place of our tracker: long intervals, no racks, and it tells everybody of themselves.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as lab from '../lab/lab.ts'
import { createLab, until, within } from './swarm-lab.ts'

const skip = process.getuid?.() === 0 || process.env['CI'] === 'true' ? false : 'needs root'
const LIMIT = { timeout: 60_000, skip }

test('swarm: a seeder and three getters meet through opentracker', LIMIT, () =>
  lab.withScope(async (scope) => {
    await using files = await createLab({ sizeBytes: 8 * 2 ** 20, pieceLengthBytes: 2 ** 18 })
    const { announceUrl } = await lab.startOpentracker(scope, files.metainfo.infoHash)
    const trackers = [[announceUrl]]
    await using seeder = await files.seed({ trackers, uploadBytesPerSecond: 2 ** 21 })
    await until(() => seeder.torrent.stats().trackerStatus.includes('announced'), 'announce')
    await using first = await files.get({ trackers })
    await using second = await files.get({ trackers })
    await using third = await files.get({ trackers })
    const getters = [first, second, third]
    await within(Promise.all(getters.map(({ done }) => done)), 'downloads', 40_000)
    for (const getter of getters) assert.ok((await getter.file()).equals(files.content))
    const fromPeersBytes = getters.map(({ torrent }) => torrent.stats().fromPeersBytes)
    assert.ok(fromPeersBytes.some((bytes) => bytes > 0))
  }),
)

test('swarm: a seeder that comes last finds who waits for it', LIMIT, () =>
  lab.withScope(async (scope) => {
    await using files = await createLab({ sizeBytes: 2 ** 20, pieceLengthBytes: 2 ** 18 })
    const { announceUrl } = await lab.startOpentracker(scope, files.metainfo.infoHash)
    const trackers = [[announceUrl]]
    await using getter = await files.get({ trackers })
    // It will not ask again for a quarter of an hour.
    await until(() => getter.torrent.stats().trackerStatus.includes('announced'), 'announce')
    await using seeder = await files.seed({ trackers })
    await within(getter.done, 'download')
    assert.equal(seeder.torrent.stats().uploadedBytes, files.content.length)
  }),
)

test('swarm: a torrent that opentracker does not list is said so', LIMIT, () =>
  lab.withScope(async (scope) => {
    await using listed = await createLab({ sizeBytes: 2 ** 20, pieceLengthBytes: 2 ** 18 })
    await using other = await createLab({ sizeBytes: 2 ** 19, pieceLengthBytes: 2 ** 18 })
    const { announceUrl } = await lab.startOpentracker(scope, listed.metainfo.infoHash)
    await using getter = await other.get({ trackers: [[announceUrl]] })
    const status = () => getter.torrent.stats().trackerStatus
    await until(() => status().includes('not authorized'), 'the refusal')
  }),
)
