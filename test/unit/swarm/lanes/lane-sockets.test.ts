// A lane on the thread of the test, with real sockets: what it tells, and that it waits to be heard.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { test } from 'node:test'
import { systemClock } from '../../../../src/core/core.ts'
import { duplicate } from '../../../../src/host/host.ts'
import { encodeHandshake } from '../../../../src/swarm/wire/handshake.ts'
import { BatchWriter } from '../../../../src/swarm/lanes/lane-batch.ts'
import {
  commandWriter,
  readEvents,
  writeAdopt,
  writeHeard,
  type LinkEvents,
} from '../../../../src/swarm/lanes/lane-protocol.ts'
import { LaneSockets } from '../../../../src/swarm/lanes/lane-sockets.ts'
import { descriptorOf } from '../../../../src/swarm/connection/socket-descriptor.ts'
import { createSlab } from '../../../../src/swarm/swarm.ts'
import { createUploadBuffers } from '../../../../src/swarm/pieces/upload-buffers.ts'
import { encodeMessage, encodePieceHead } from '../../../../src/swarm/wire/wire.ts'
import { parseInfoHash } from '../../../../src/torrent/torrent.ts'
import { until } from '../../../integration/swarm-lab.ts'

const HANDSHAKE = encodeHandshake({
  infoHash: parseInfoHash('ab'.repeat(20)),
  peerId: '-XX0000-abcdefghijkl',
  supportsFast: true,
  supportsExtensions: false,
})

const BLOCK = 16384
const LIMITS = { maxControlBytes: 1000, maxPayloadBytes: 16384 }

/** A lane with one connection, number 1, whose other end is `peer`. */
async function laneWithPeer() {
  const server = createServer({ pauseOnConnect: true }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const peer = connect((server.address() as AddressInfo).port, '127.0.0.1')
  const [accepted] = (await once(server, 'connection')) as [Socket]
  const names: string[] = []
  const events: (readonly unknown[])[] = []
  let [marks, isHeard] = [0, false]
  const uploads = createUploadBuffers({ bufferBytes: 1024, buffers: 1, clock: systemClock })
  const lane = new LaneSockets({ lane: 1, uploads, tls: undefined }, (batch) => {
    readEvents(batch, {
      mark() {
        marks++
        if (isHeard) setImmediate(hear)
      },
      find: () =>
        new Proxy({} as LinkEvents, {
          get:
            (_target, name) =>
            (...args: unknown[]) => {
              names.push(String(name))
              if (!String(name).includes('Message')) events.push([name, ...args])
            },
        }),
    })
  })
  const batch = new BatchWriter()
  const commands = commandWriter(batch, 1)
  const tell = (command: () => void) => {
    command()
    lane.onMessage(batch.take())
  }
  const fd = duplicate(descriptorOf(accepted) ?? -1)
  tell(() => writeAdopt(batch, 1, { fd, infoHashes: undefined }))
  accepted.destroy()
  server.close()
  const hear = () => tell(() => writeHeard(batch))
  const listen = () => {
    isHeard = true
    for (let count = 0; count < marks; count++) hear()
  }
  return { lane, peer, commands, tell, listen, names, events, marks: () => marks }
}

test('a lane keeps messages that follow the handshake until it may read them', async () => {
  const { peer, commands, tell, names } = await laneWithPeer()
  peer.write(Buffer.concat([HANDSHAKE, encodeMessage({ type: 'unchoke' })]))
  await until(() => names.length > 0, 'the handshake')
  assert.deepEqual(names, ['onHandshake'])
  peer.write(encodeMessage({ type: 'have', pieceIndex: 1 }))
  tell(() => commands.start(0, LIMITS))
  await until(() => names.length === 3, 'both messages')
  assert.deepEqual(names, ['onHandshake', 'onEncodedMessage', 'onEncodedMessage'])
  tell(() => commands.close())
  await until(() => names.at(-1) === 'onClosed', 'the end')
  peer.destroy()
})

test('a lane does not read on from a peer that floods it while nobody listens', async () => {
  const { peer, commands, tell, listen, names, marks } = await laneWithPeer()
  peer.on('error', () => {})
  peer.write(HANDSHAKE)
  await until(() => names.length > 0, 'the handshake')
  tell(() => commands.start(0, LIMITS))
  // More than the buffers of the kernel hold.
  const total = 40_000
  const message = encodeMessage({ type: 'bitfield', bytes: Buffer.alloc(900) })
  for (let count = 0; count < total; count += 1000) {
    peer.write(Buffer.concat(Array<Buffer>(1000).fill(message)))
  }
  await until(() => marks() === 1, 'a mark')
  const before = names.length
  await until(() => peer.writableLength > 0 && names.length === before, 'silence')
  assert.ok(before < total / 20, `${before} messages without being heard`)
  listen()
  await until(() => names.length > total, 'the rest')
  peer.destroy()
  await until(() => names.at(-1) === 'onClosed', 'the end')
})

test('a lane writes payload into the slab and tells what it wrote, soon also amid a message', async () => {
  const { lane, peer, commands, tell, events } = await laneWithPeer()
  const slab = createSlab({ slotBytes: 4 * BLOCK, slots: 1 })
  const { memory, slotBytes, table } = slab
  lane.onMessage({ slabId: 5, slab: { memory, slotBytes, table: table.share } })
  const place = slab.acquire()
  const range = { pieceIndex: 3, offsetBytes: 0, lengthBytes: 4 * BLOCK }
  const limits = { ...LIMITS, maxPayloadBytes: 4 * BLOCK }
  tell(() => commands.start(5, limits))
  tell(() => commands.request(range, place))
  peer.write(Buffer.concat([HANDSHAKE, encodePieceHead(range), Buffer.alloc(3 * BLOCK + 1, 9)]))
  await until(() => events.some(([name]) => name === 'onPayload'), 'the beginning')
  const generation = place?.generation
  assert.deepEqual(events.slice(1), [
    ['onPayloadBegin', range, true],
    ['onBlocks', { pieceIndex: 3, generation, first: 0, end: 3 }],
    ['onPayload', { bytes: 3 * BLOCK + 1, usedBytes: 3 * BLOCK, wastedBytes: 0 }],
  ])
  peer.write(Buffer.alloc(BLOCK - 1, 9))
  await until(() => events.some(([name]) => name === 'onPayloadEnd'), 'the end')
  assert.deepEqual(events.slice(4), [
    ['onBlocks', { pieceIndex: 3, generation, first: 3, end: 4 }],
    ['onPayload', { bytes: BLOCK - 1, usedBytes: BLOCK, wastedBytes: 0 }],
    ['onPayloadEnd'],
  ])
  assert.ok(slab.view(0).every((byte) => byte === 9))
  tell(() => commands.close())
  peer.destroy()
})

test('a lane ends a connection that breaks the protocol, and tells so', async () => {
  const { peer, names } = await laneWithPeer()
  peer.on('error', () => {})
  peer.write(Buffer.alloc(68, 1))
  await until(() => names.length > 0, 'the end')
  assert.deepEqual(names, ['onClosed'])
  peer.destroy()
})
