// The order of bytes on a real socket.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { test } from 'node:test'
import { systemClock } from '../../../../src/core/core.ts'
import { dialPeer } from '../../../../src/swarm/connection/peer-socket.ts'
import { encodeMessage, encodePieceHead } from '../../../../src/swarm/wire/wire.ts'

test('a message sent amid a piece message goes out after its last part', async () => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const accepted = once(server, 'connection')
  const connected = Promise.withResolvers<void>()
  const connection = dialPeer(
    { host: '127.0.0.1', port },
    { onHandshake: () => {}, onClose: () => {} },
    { clock: systemClock, onConnect: () => connected.resolve() },
  )
  const [socket] = (await accepted) as [NodeJS.ReadableStream & AsyncIterable<Buffer>]
  await connected.promise
  const range = { pieceIndex: 1, offsetBytes: 0, lengthBytes: 4 }
  const buffer = { index: 0, bytes: Buffer.from('.abcd.') }
  const sent: string[] = []
  for (const part of [
    { head: range, fromBytes: 1, lengthBytes: 2 },
    { head: undefined, fromBytes: 3, lengthBytes: 2 },
  ]) {
    const [endsMessage, name] = part.head === undefined ? [true, 'second'] : [false, 'first']
    connection.sendPayload(buffer, [part], { endsMessage, onSent: () => sent.push(name) })
    connection.send({ type: 'have', pieceIndex: 7 }, { type: 'choke' })
  }
  const messages = [
    encodeMessage({ type: 'have', pieceIndex: 7 }),
    encodeMessage({ type: 'choke' }),
  ]
  const expected = Buffer.concat([
    encodePieceHead(range),
    Buffer.from('abcd'),
    ...messages,
    ...messages,
  ])
  let received = Buffer.alloc(0)
  for await (const chunk of socket) {
    received = Buffer.concat([received, chunk])
    if (received.length >= expected.length) break
  }
  assert.deepEqual(received, expected)
  assert.deepEqual(sent, ['first', 'second'])
  connection.close()
  server.close()
})
