// Seeders whose payload the kernel sends out of open files.
import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { type PieceStore } from '../../src/swarm/swarm.ts'
import { parseEndpoint } from '../../src/swarm/connection/connection.ts'
import { encodeExtensionHandshake } from '../../src/swarm/wire/extension.ts'
import { createPeerId, encodeHandshake } from '../../src/swarm/wire/handshake.ts'
import { encodeMessage } from '../../src/swarm/wire/wire.ts'
import { kernelTellsCached } from '../lab/page-cache.ts'
import { failOnLeaks } from './descriptors.ts'
import { readExactly } from './raw-peer.ts'
import { createLab, until, within } from './swarm-lab.ts'

const LIMIT = { timeout: 60_000 }
const MIB = 2 ** 20

failOnLeaks()

for (const lanes of [1, 2]) {
  test(
    `a torrent of files and pads is seeded out of its files (${lanes} lanes)`,
    LIMIT,
    async () => {
      const files = [
        { path: ['manifest'], lengthBytes: 3 * MIB + 777 },
        { path: ['.pad', '1'], lengthBytes: MIB - 777, isPad: true },
        { path: ['a'], lengthBytes: MIB / 2 + 1 },
        { path: ['b'], lengthBytes: 11 * MIB - 3 },
      ]
      const sizeBytes = files.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0)
      await using lab = await createLab({ sizeBytes, pieceLengthBytes: 2 * MIB, files })
      let located = 0
      const store = (inner: PieceStore): PieceStore => ({
        async locate(...place) {
          const spans = await inner.locate(...place)
          located += spans === undefined ? 0 : 1
          return spans
        },
        read: (...place) => inner.read(...place),
        close: () => inner.close(),
      })
      await using seeder = await lab.seed({ lanes, isFirstLaneTaken: true, store })
      await using getter = await lab.get({ lanes, peers: [seeder.address] })
      await within(getter.done, 'the download')
      assert.ok((await getter.file()).equals(lab.content))
      if (kernelTellsCached()) assert.ok(located > 5)
      const { downloadedBytes } = getter.torrent.stats()
      await until(() => seeder.torrent.stats().uploadedBytes === downloadedBytes, 'the account')
    },
  )

  test(`a seeder whose file became shorter tells so (${lanes} lanes)`, LIMIT, async () => {
    await using lab = await createLab({ sizeBytes: 8 * MIB, pieceLengthBytes: 2 * MIB })
    const store = (inner: PieceStore): PieceStore => ({
      async locate(...place) {
        const spans = await inner.locate(...place)
        return spans?.map((span) => ({ ...span, isMemory: true }))
      },
      read: (...place) => inner.read(...place),
      close: () => inner.close(),
    })
    await using seeder = await lab.seed({ lanes, isFirstLaneTaken: true, store })
    await truncate(join(lab.seedDirectory, 'payload.bin'), 6 * MIB + 2000)
    await using late = await lab.get({ lanes, wanted: [3], peers: [seeder.address] })
    await until(() => seeder.notes.some((note) => note.includes('became shorter')), 'the note')
    assert.equal(late.torrent.stats().piecesHave, 0)
  })

  test(`a seeder is closed while a peer reads nothing (${lanes} lanes)`, LIMIT, async () => {
    await using lab = await createLab({ sizeBytes: 16 * MIB, pieceLengthBytes: 16 * MIB })
    const seeder = await lab.seed({ lanes, isFirstLaneTaken: true })
    const { host, port } = parseEndpoint(seeder.address)
    const socket = connect(port, host).pause()
    socket.on('error', () => {})
    const { infoHash } = lab.metainfo
    const peerId = createPeerId(Math.random)
    const greeting = { infoHash, peerId, supportsFast: true, supportsExtensions: true }
    const own = { role: 'node', maxRequestBytes: 16 * MIB, wantId: undefined } as const
    const extension = { client: '', requestQueue: 9, listenPort: 0, peerExchangeId: 0, own }
    const payload = encodeExtensionHandshake(extension)
    socket.write(encodeHandshake(greeting))
    socket.write(encodeMessage({ type: 'extended', id: 0, payload }))
    socket.write(encodeMessage({ type: 'interested' }))
    const range = { pieceIndex: 0, offsetBytes: 0, lengthBytes: 16 * MIB }
    await until(() => seeder.torrent.stats().peers.some((peer) => peer.isUnchoked), 'the unchoking')
    socket.write(encodeMessage({ type: 'request', range }))
    await within(readExactly(socket, 100_000), 'the beginning')
    await within(Promise.resolve(seeder[Symbol.asyncDispose]()), 'the end of the seeder', 3000)
    socket.destroy()
  })
}
