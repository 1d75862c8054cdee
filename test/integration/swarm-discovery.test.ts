// How peers find each other without a tracker: through the peers they have, ours and libtorrent.
import assert from 'node:assert/strict'
import { mkdir } from 'node:fs/promises'
import { createServer as createHttpServer } from 'node:http'
import { connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import {
  decodeExtensionHandshake,
  encodeExtensionHandshake,
} from '../../src/swarm/wire/extension.ts'
import { createPeerId, encodeHandshake, HANDSHAKE_BYTES } from '../../src/swarm/wire/handshake.ts'
import { encodePeerExchange } from '../../src/swarm/discovery/peer-exchange-message.ts'
import { encodeMessage, WireDecoder } from '../../src/swarm/wire/wire.ts'
import { type Metainfo } from '../../src/torrent/torrent.ts'
import { libtorrent } from '../lab/foreign/libtorrent.ts'
import { withScope, type Scope } from '../lab/scope.ts'
import { createLab, until, within, type Lab } from './swarm-lab.ts'

const LIMIT = { timeout: 60_000 }

const SLOW = { uploadBytesPerSecond: 2 ** 20 }

test('swarm: getters that know only the seeder find each other', LIMIT, async () => {
  await using lab = await createLab({ sizeBytes: 5 * 2 ** 20, pieceLengthBytes: 2 ** 18 })
  await using seeder = await lab.seed(SLOW)
  await using first = await lab.get({ peers: [seeder.address] })
  await using second = await lab.get({ peers: [seeder.address] })
  await using third = await lab.get({ peers: [seeder.address] })
  const getters = [first, second, third]
  const isMeshed = () => getters.every(({ torrent }) => torrent.stats().peers.length === 3)
  await until(isMeshed, 'every getter to know both others')
  await within(Promise.all(getters.map(({ done }) => done)), 'downloads', 40_000)
  const fromPeersBytes = getters.map(({ torrent }) => torrent.stats().fromPeersBytes)
  assert.ok(Math.max(...fromPeersBytes) > 0)
})

/** libtorrent with the lab's torrent; it has all of it, or is to get it from nobody it knows of. */
async function startLibtorrent(scope: Scope, files: Lab, what: 'seed' | 'get') {
  const torrentPath = join(files.directory, 'payload.torrent')
  const directory = what === 'seed' ? files.directory : join(scope.directory, 'libtorrent')
  await mkdir(directory, { recursive: true })
  const task = { torrentPath, directory, host: '127.0.0.1', encryption: 'plain' } as const
  return libtorrent[what](scope, task)
}

test('swarm: getters that know only libtorrent are told of each other by it', LIMIT, () =>
  withScope(async (scope) => {
    await using files = await createLab({ sizeBytes: 4 * 2 ** 20, pieceLengthBytes: 2 ** 18 })
    const hub = await startLibtorrent(scope, files, 'seed')
    // Slow, so that both are there and want something when they are told.
    const slow = { peers: [hub.address], downloadBytesPerSecond: 300_000 }
    await using first = await files.get(slow)
    await using second = await files.get(slow)
    const has = (getter: typeof first) =>
      getter.torrent.stats().peers.some(({ client }) => client.startsWith('SwarmImager'))
    await until(() => has(first) && has(second), 'the getters to meet')
  }),
)

test('swarm: libtorrent comes to whom we tell it of', LIMIT, () =>
  withScope(async (scope) => {
    await using files = await createLab({ sizeBytes: 4 * 2 ** 20, pieceLengthBytes: 2 ** 18 })
    const theirs = await startLibtorrent(scope, files, 'get')
    await using getter = await files.get({ wanted: [] })
    // It has nothing to give: whoever comes to the getter was told of it.
    await using hub = await files.get({ wanted: [0], peers: [theirs.address, getter.address] })
    const isThere = () =>
      getter.torrent.stats().peers.some(({ client }) => client.startsWith('libtorrent'))
    await until(isThere, 'libtorrent')
    assert.equal(hub.torrent.stats().uploadedBytes, 0)
  }),
)

test('swarm: a node tells the tracker its rack', LIMIT, async () => {
  await using files = await createLab({ sizeBytes: 2 ** 20, pieceLengthBytes: 2 ** 18 })
  const asked: string[] = []
  const tracker = createHttpServer((request, response) => {
    asked.push(request.url ?? '')
    response.end('d8:intervali30e5:peers0:e')
  })
  await new Promise<void>((resolve) => tracker.listen(0, '127.0.0.1', resolve))
  const address = tracker.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const trackers = [[`http://127.0.0.1:${port}/announce`]]
  await using getter = await files.get({ trackers, rack: 'hall 2' })
  await until(() => asked.length > 0, 'an announce')
  assert.match(asked[0] ?? '', /&rack=hall%202$/)
  await getter.swarm.close()
  tracker.closeAllConnections()
  await new Promise((resolve) => tracker.close(resolve))
})

/** A listener that counts who connects. */
async function countConnections() {
  let count = 0
  const server = createServer((socket) => {
    count++
    socket.destroy()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    count: () => count,
    [Symbol.asyncDispose]: () => new Promise<void>((resolve) => server.close(() => resolve())),
  }
}

/** Connects, greets, tells of a peer at `toldPort`, and says that it listens at `ownPort` itself. */
async function gossip(
  metainfo: Metainfo,
  ports: { readonly swarm: number; readonly told: number; readonly own: number },
) {
  const socket = connect(ports.swarm, '127.0.0.1')
  socket.on('error', () => {})
  const { infoHash } = metainfo
  const greeting = { infoHash, peerId: createPeerId(Math.random) }
  socket.write(encodeHandshake({ ...greeting, supportsFast: true, supportsExtensions: true }))
  const offered = await firstExtensionHandshake(socket)
  const added = [{ host: '127.0.0.1', port: ports.told, isComplete: true, isReachable: true }]
  const messages = [
    { id: 1, payload: encodePeerExchange({ added, dropped: [] }) },
    {
      id: 0,
      payload: encodeExtensionHandshake({
        ...{ client: 'gossip', requestQueue: 9, listenPort: ports.own, peerExchangeId: 1 },
        own: undefined,
      }),
    },
  ]
  for (const message of messages) socket.write(encodeMessage({ type: 'extended', ...message }))
  return { socket, offered }
}

function firstExtensionHandshake(socket: Socket) {
  const ignore = () => {}
  return new Promise<ReturnType<typeof decodeExtensionHandshake>>((resolve) => {
    let skip = HANDSHAKE_BYTES
    const decoder = new WireDecoder(
      {
        onMessage: (message) => {
          if (message.type !== 'extended' || message.id !== 0) return
          resolve(decodeExtensionHandshake(message.payload))
        },
        ...{ onPayloadBegin: ignore, onPayload: ignore, onPayloadEnd: ignore },
      },
      { maxControlBytes: 2 ** 20, maxPayloadBytes: 2 ** 20 },
    )
    socket.on('data', (bytes) => {
      const rest = bytes.subarray(Math.min(skip, bytes.length))
      skip -= bytes.length - rest.length
      decoder.push(rest)
    })
  })
}

for (const isPrivate of [false, true]) {
  const what = isPrivate ? 'a private torrent ignores' : 'a public torrent tries'
  test(`swarm: ${what} peers that a peer tells of`, LIMIT, async () => {
    await using lab = await createLab({ sizeBytes: 2 ** 20, pieceLengthBytes: 2 ** 18, isPrivate })
    await using getter = await lab.get()
    await using told = await countConnections()
    await using own = await countConnections()
    const ports = { swarm: getter.swarm.port, told: told.port, own: own.port }
    const { socket, offered } = await within(gossip(lab.metainfo, ports), 'the greeting')
    assert.equal(offered.peerExchangeId, isPrivate ? 0 : 1)
    // Its own address is tried half a second after it hung up; the other one sooner, if ever.
    socket.end()
    await until(() => own.count() > 0, 'an attempt to reach the gossip itself')
    assert.equal(told.count() > 0, !isPrivate)
  })
}
