// The swarm on loopback: real sockets, real worker threads, files in a temporary folder.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createLab, within } from './swarm-lab.ts'

test('swarm: one seeder serves one getter', { timeout: 60_000 }, async () => {
  await using lab = await createLab({ sizeBytes: 8_000_001, pieceLengthBytes: 2 ** 18 })
  await using seeder = await lab.seed()
  await using getter = await lab.get({ peers: [seeder.address] })
  await within(getter.done, 'download')
  assert.ok((await getter.file()).equals(lab.content))
  const stats = getter.torrent.stats()
  assert.equal(stats.fromServerBytes, 8_000_001)
  assert.equal(stats.fromPeersBytes, 0)
  assert.equal(stats.wastedBytes, 0)
})
