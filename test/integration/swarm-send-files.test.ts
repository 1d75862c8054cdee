// Payload that the kernel sends out of open files: the order of bytes on real sockets, readers that stop,
// files that fail, and that no file is closed while it is being sent.
import assert from 'node:assert/strict'
import { closeSync, openSync } from 'node:fs'
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { Outbox } from '../../src/swarm/connection/outbox.ts'
import { type FileSpan } from '../../src/swarm/swarm.ts'
import { encodeMessage, encodePieceHead, type BlockRange } from '../../src/swarm/wire/wire.ts'
import { failOnLeaks } from './descriptors.ts'
import { connectRawPeer, connectSockets, readExactly, type RawPeer } from './raw-peer.ts'
import { noise, until } from './swarm-lab.ts'

const LIMIT = { timeout: 60_000 }
const MIB = 2 ** 20
/** Less than the kernel's buffers hold. */
const PART = 64 * 1024
const HAVE = { type: 'have', pieceIndex: 7 } as const
const CHOKE = { type: 'choke' } as const

const directory = await mkdtemp(join(tmpdir(), 'si-send-'))
after(() => rm(directory, { recursive: true }))

/** More than the kernel's buffers of a loopback connection hold. */
const content = noise(24 * MIB)
const path = join(directory, 'content')
await writeFile(path, content)

failOnLeaks()

function openContent() {
  const fd = openSync(path, 'r')
  const span = (positionBytes: number, lengthBytes: number): FileSpan => ({
    ...{ fd, positionBytes, lengthBytes, isMemory: false },
  })
  return { fd, span, [Symbol.dispose]: () => closeSync(fd) }
}

const rangeOf = (lengthBytes: number): BlockRange => ({
  pieceIndex: 1,
  offsetBytes: 0,
  lengthBytes,
})

/** Sends all of the content as one message, in parts of 1 MiB; tells which parts were sent. */
function sendContent({ connection }: RawPeer, span: (at: number, length: number) => FileSpan) {
  const sent: (Error | number)[] = []
  for (let at = 0; at < content.length; at += MIB) {
    const head = at === 0 ? rangeOf(content.length) : undefined
    connection.sendFiles(head, [span(at, MIB)], {
      endsMessage: at + MIB === content.length,
      onSent: (error) => sent.push(error ?? at / MIB),
    })
  }
  return sent
}

test('sendFiles() sends parts in order, and messages after the end of theirs', LIMIT, async () => {
  await using peer = await connectRawPeer()
  using file = openContent()
  const { connection } = peer
  const sent: string[] = []
  const onSent = (name: string) => () => sent.push(name)
  const first = { endsMessage: false, onSent: onSent('first') }
  connection.sendFiles(rangeOf(3 * MIB + 5), [file.span(1, MIB)], first)
  connection.send(HAVE)
  const spans = [file.span(5 * MIB, MIB), file.span(77, 5), file.span(9 * MIB, MIB)]
  connection.sendFiles(undefined, spans, { endsMessage: true, onSent: onSent('second') })
  connection.send(CHOKE)
  const buffer = { index: 0, bytes: Buffer.from('.abcd.') }
  const part = { head: rangeOf(4), fromBytes: 1, lengthBytes: 4 }
  connection.sendPayload(buffer, [part], { endsMessage: true, onSent: onSent('third') })
  connection.sendFiles(rangeOf(10), [file.span(0, 10)], {
    endsMessage: true,
    onSent: onSent('fourth'),
  })
  connection.send(HAVE)
  const expected = Buffer.concat([
    ...[encodePieceHead(rangeOf(3 * MIB + 5)), content.subarray(1, 1 + MIB)],
    ...[content.subarray(5 * MIB, 6 * MIB), content.subarray(77, 82)],
    ...[content.subarray(9 * MIB, 10 * MIB), encodeMessage(HAVE), encodeMessage(CHOKE)],
    ...[encodePieceHead(rangeOf(4)), Buffer.from('abcd')],
    ...[encodePieceHead(rangeOf(10)), content.subarray(0, 10), encodeMessage(HAVE)],
  ])
  assert.ok((await peer.read(expected.length)).equals(expected))
  assert.deepEqual(sent, ['first', 'second', 'third', 'fourth'])
})

test(
  'messages wait for the end of their piece message, however late it is told to be sent',
  LIMIT,
  async () => {
    await using peer = await connectRawPeer()
    using file = openContent()
    const { connection } = peer
    const second = Promise.withResolvers<void>()
    const notLast = { endsMessage: false, onSent: () => {} }
    connection.sendFiles(rangeOf(3 * PART), [file.span(0, PART)], notLast)
    connection.sendFiles(undefined, [file.span(PART, PART)], {
      endsMessage: false,
      onSent: () => second.resolve(),
    })
    // Behind the second part, of which the end of the message is not yet in sight.
    connection.send(HAVE)
    connection.send(CHOKE)
    await second.promise
    connection.send(HAVE)
    connection.sendFiles(undefined, [file.span(2 * PART, PART)], {
      endsMessage: true,
      onSent: () => {},
    })
    const messages = [HAVE, CHOKE, HAVE].map((message) => encodeMessage(message))
    const head = encodePieceHead(rangeOf(3 * PART))
    const expected = Buffer.concat([head, content.subarray(0, 3 * PART), ...messages])
    assert.ok((await peer.read(expected.length)).equals(expected))
  },
)

test(
  'a message that is sent when a file has been sent overtakes none that waits',
  LIMIT,
  async () => {
    await using peer = await connectRawPeer()
    using file = openContent()
    const { connection } = peer
    const send = (onSent: () => void) =>
      connection.sendFiles(rangeOf(PART), [file.span(0, PART)], { endsMessage: true, onSent })
    const done = Promise.withResolvers<void>()
    connection.sendPayload(
      { index: 0, bytes: content },
      [{ head: rangeOf(PART), fromBytes: 0, lengthBytes: PART }],
      { endsMessage: false, onSent: () => {} }, // what follows waits for the socket
    )
    send(() => connection.send(CHOKE))
    send(done.resolve)
    connection.send(HAVE)
    await done.promise
    const end = Buffer.concat([encodeMessage(HAVE), encodeMessage(CHOKE)])
    const received = await peer.read(3 * (13 + PART) + end.length)
    assert.deepEqual(received.subarray(-end.length), end)
  },
)

test('sendFiles() waits for a reader that has stopped, and goes on with it', LIMIT, async () => {
  await using peer = await connectRawPeer()
  using file = openContent()
  const sent = sendContent(peer, file.span)
  peer.connection.send(HAVE)
  await stops(sent)
  assert.ok(sent.length < content.length / MIB, 'the kernel holds all of it')
  const bytes = await peer.read(13 + content.length)
  assert.ok(bytes.subarray(13).equals(content))
  assert.deepEqual(await peer.read(9), encodeMessage(HAVE))
  const all = Array.from({ length: content.length / MIB }, (_, part) => part)
  await until(() => sent.length === all.length, 'the end of the sending')
  assert.deepEqual(sent, all)
})

/** Waits until nothing more is added. */
async function stops(list: readonly unknown[]): Promise<void> {
  let length = -1
  await until(() => length === (length = list.length), 'a pause')
}

test('sendFiles() sends what is in no cache yet', LIMIT, async () => {
  await using peer = await connectRawPeer()
  const hole = join(directory, 'hole')
  await writeFile(hole, '')
  await truncate(hole, 3 * MIB)
  const fd = openSync(hole, 'r')
  const cold = { fd, positionBytes: 5, lengthBytes: 2 * MIB, isMemory: false }
  const sent = Promise.withResolvers<Error | undefined>()
  peer.connection.sendFiles(undefined, [cold], { endsMessage: true, onSent: sent.resolve })
  assert.ok((await peer.read(2 * MIB)).equals(Buffer.alloc(2 * MIB)))
  assert.equal(await sent.promise, undefined)
  closeSync(fd)
})

test('sendFiles() sends by an encrypted connection', LIMIT, async () => {
  using file = openContent()
  const [near, far] = await connectSockets()
  const inverted = { isCiphering: true, send: (bytes: Uint8Array) => bytes.map((byte) => ~byte) }
  const outbox = new Outbox(near, inverted)
  const sent = Promise.withResolvers<Error | undefined>()
  const options = { endsMessage: true, onSent: sent.resolve }
  outbox.sendFiles(rangeOf(9 * MIB), [file.span(9, 9 * MIB)], options)
  outbox.write(encodeMessage(HAVE))
  const expected = Buffer.concat([
    ...[encodePieceHead(rangeOf(9 * MIB)), content.subarray(9, 9 + 9 * MIB)],
    encodeMessage(HAVE),
  ])
  const received = await readExactly(far, expected.length)
  assert.ok(expected.equals(inverted.send(received)))
  assert.equal(await sent.promise, undefined)
  near.destroy()
  far.destroy()
})

for (const isMemory of [true, false]) {
  test(`sendFiles() tells of a file that became shorter (${isMemory})`, LIMIT, async () => {
    await using peer = await connectRawPeer()
    const short = join(directory, 'short')
    await writeFile(short, content.subarray(0, 100_000))
    const fd = openSync(short, 'r')
    const span = { fd, positionBytes: 50_000, lengthBytes: MIB, isMemory }
    const sent = Promise.withResolvers<Error | undefined>()
    peer.connection.sendFiles(undefined, [span], { endsMessage: true, onSent: sent.resolve })
    peer.connection.send(HAVE)
    assert.ok((await peer.read(50_000)).equals(content.subarray(50_000, 100_000)))
    assert.match(String(await sent.promise), /became shorter/)
    peer.connection.close()
    await peer.closed
    assert.equal(peer.socket.read(), null) // no message in place of the payload
    closeSync(fd)
  })
}

test(
  'a file whose sending was broken off can be closed, and its number used again',
  LIMIT,
  async () => {
    await using peer = await connectRawPeer()
    const file = openContent()
    const sent = sendContent(peer, file.span)
    await stops(sent)
    const sentBefore = sent.length
    peer.connection.close()
    assert.equal(sent.length, content.length / MIB)
    const other = join(directory, 'other')
    await writeFile(other, Buffer.alloc(content.length, 0xee))
    closeSync(file.fd)
    const fds = [openSync(other, 'r')]
    while (!fds.includes(file.fd)) fds.push(openSync(other, 'r'))
    const received: Buffer[] = []
    peer.socket.on('data', (chunk) => received.push(chunk))
    peer.socket.resume()
    await new Promise((resolve) => peer.socket.once('close', resolve))
    const bytes = Buffer.concat(received).subarray(13)
    assert.ok(bytes.length < (sentBefore + 8) * MIB)
    assert.ok(bytes.equals(content.subarray(0, bytes.length)))
    for (const fd of fds) closeSync(fd)
  },
)

test('a connection that is reset amid a file tells of each part once', LIMIT, async () => {
  await using peer = await connectRawPeer()
  using file = openContent()
  const sent = sendContent(peer, file.span)
  await stops(sent)
  assert.ok(sent.length < content.length / MIB)
  peer.socket.resetAndDestroy()
  assert.match(String(await peer.closed), /EPIPE|ECONNRESET/)
  const all = Array.from({ length: content.length / MIB }, (_, part) => part)
  assert.deepEqual(sent, all)
})

test(
  'a send that is broken off while the pool reads for it ends when it has read',
  LIMIT,
  async () => {
    await using peer = await connectRawPeer()
    const hole = join(directory, 'hole2')
    await writeFile(hole, '')
    await truncate(hole, MIB)
    const fd = openSync(hole, 'r')
    const cold = { fd, positionBytes: 0, lengthBytes: MIB, isMemory: false }
    let isSent = false
    const options = { endsMessage: true, onSent: () => (isSent = true) }
    peer.connection.sendFiles(undefined, [cold], options)
    peer.connection.close()
    assert.equal(isSent, false)
    await peer.closed
    assert.equal(isSent, true)
    closeSync(fd)
  },
)
