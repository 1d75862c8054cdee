// Where connections live when there are several network threads.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemClock } from '../../../../src/core/core.ts'
import { type Connection } from '../../../../src/swarm/connection/connection.ts'
import { LaneConnection } from '../../../../src/swarm/lanes/lane-connection.ts'
import { createLanes } from '../../../../src/swarm/lanes/lanes.ts'
import { createUploadBuffers } from '../../../../src/swarm/pieces/upload-buffers.ts'
import { connectSockets } from '../../../integration/raw-peer.ts'

test('createLanes() gives the network thread connections too, fewer the more others have', async () => {
  const uploads = createUploadBuffers({ bufferBytes: 1024, buffers: 1, clock: systemClock })
  const lanes = createLanes({
    count: 3,
    uploads,
    onNote: (text) => assert.fail(text),
    guard: undefined,
  })
  const closed: Promise<void>[] = []
  const callers: { destroy(): void }[] = []
  const accept = async () => {
    const [caller, accepted] = await connectSockets()
    callers.push(caller)
    const { promise, resolve } = Promise.withResolvers<void>()
    closed.push(promise)
    const owner = { onHandshake: () => {}, onClose: () => resolve() }
    return lanes.accept(accepted, owner, { clock: systemClock, infoHashes: () => [] })
  }
  const isHere = (connection: Connection) => !(connection instanceof LaneConnection)
  const connections: Connection[] = []
  while (connections.length < 24) connections.push(await accept())
  assert.deepEqual(connections.slice(0, 3).map(isHere), [true, false, false])
  assert.equal(connections.filter(isHere).length, 6)
  for (const connection of connections) connection.close()
  await Promise.all(closed)
  assert.ok(isHere(await accept())) // those that have closed are no load
  for (const socket of callers) socket.destroy()
  await lanes.close()
  await Promise.all(closed)
})
