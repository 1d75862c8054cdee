// What uses a store is waited for, on whatever way it goes out.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Connection, type SendOptions } from '../../../src/swarm/connection/connection.ts'
import { createUploadBuffers } from '../../../src/swarm/pieces/upload-buffers.ts'
import { type PieceStore } from '../../../src/swarm/swarm.ts'
import { fakeClock } from '../../lab/fake-clock.ts'
import { Uploader } from '../../../src/swarm/uploader.ts'

const PART = 128 * 1024
const settled = () => new Promise((resolve) => setImmediate(resolve))

/** An uploader whose connection does what the test says; every second piece lies in memory. */
function uploaderUnderTest(clock = fakeClock()) {
  const sends: { readonly way: string; readonly options: SendOptions }[] = []
  const state = { isClosed: false }
  const connection = {
    close(error: Error) {
      seen.closed.push(error.message)
      state.isClosed = true
      for (const { options } of sends) options.onSent()
    },
    get isClosed() {
      return state.isClosed
    },
    sendPayload: (_buffer: unknown, _parts: unknown, options: SendOptions) =>
      sends.push({ way: 'buffer', options }),
    sendFiles: (_head: unknown, _spans: unknown, options: SendOptions) =>
      sends.push({ way: 'files', options }),
  } as unknown as Connection
  const store: PieceStore = {
    locate: (index, positionBytes, lengthBytes) =>
      Promise.resolve(
        index % 2 === 0 ? [{ fd: 0, positionBytes, lengthBytes, isMemory: true }] : undefined,
      ),
    read: () => Promise.resolve(),
    close: () => Promise.resolve(),
  }
  const buffers = createUploadBuffers({ bufferBytes: PART, buffers: 2, clock })
  const seen = { sentBytes: 0, errors: [] as unknown[], closed: [] as string[] }
  const uploader = new Uploader({
    ...{ connection, store, buffers },
    onSent: (bytes) => (seen.sentBytes += bytes),
    onReadError: (error) => seen.errors.push(error),
  })
  const push = (pieceIndex: number, lengthBytes: number) =>
    uploader.push({ pieceIndex, offsetBytes: 0, lengthBytes })
  return { uploader, push, sends, seen, state, buffers }
}

test('an Uploader sends large parts out of files, and reads small ones and those without a place', async () => {
  const { push, sends, seen } = uploaderUnderTest()
  push(0, PART + 1000)
  push(1, PART)
  for (let step = 0; step < 3; step++) {
    await settled()
    sends[step]?.options.onSent()
  }
  assert.deepEqual(
    sends.map(({ way, options }) => [way, options.endsMessage]),
    [
      ['files', false],
      ['buffer', true],
      ['buffer', true],
    ],
  )
  assert.equal(seen.sentBytes, 2 * PART + 1000)
})

test('an Uploader has two parts under way at most', async () => {
  const { push, sends } = uploaderUnderTest()
  push(0, 4 * PART)
  await settled()
  assert.equal(sends.length, 2)
  sends[0]?.options.onSent()
  await settled()
  assert.equal(sends.length, 3)
})

test('an Uploader that is closed waits until no file is sent any more', async () => {
  const { uploader, push, sends, seen, state } = uploaderUnderTest()
  push(0, 4 * PART)
  await settled()
  state.isClosed = true
  let isClosed = false
  const closed = uploader.close().then(() => (isClosed = true))
  sends[0]?.options.onSent()
  await settled()
  assert.equal(isClosed, false)
  sends[1]?.options.onSent()
  await closed
  assert.equal(seen.sentBytes, 0)
  assert.equal(sends.length, 2)
})

test('an Uploader tells of a file that could not be read', async () => {
  const { push, sends, seen } = uploaderUnderTest()
  push(0, PART)
  await settled()
  sends[0]?.options.onSent(new Error('gone'))
  assert.match(String(seen.errors), /gone/)
})

test('an Uploader sends what it is asked for in the very moment when it has nothing more to do', async () => {
  for (let microtasks = 0; microtasks < 40; microtasks++) {
    const { push, sends } = uploaderUnderTest()
    push(0, PART)
    for (let step = 0; step < microtasks; step++) await Promise.resolve()
    push(2, PART)
    await settled()
    assert.equal(sends.length, 2, `after ${microtasks} microtasks`)
  }
})

test('an Uploader that waits for a buffer can be closed, and takes none', async () => {
  const { uploader, push, sends, buffers } = uploaderUnderTest()
  const held = [await buffers.acquire(), await buffers.acquire()]
  push(1, PART)
  await settled()
  await uploader.close()
  for (const buffer of held) buffers.release(buffer)
  await settled()
  assert.equal(sends.length, 0)
  await Promise.all([buffers.acquire(), buffers.acquire()])
})

test('a peer that takes nothing keeps a buffer no longer than 30 s from others', async () => {
  const clock = fakeClock()
  const { push, seen, buffers } = uploaderUnderTest(clock)
  push(1, PART)
  push(3, PART)
  await clock.advance(60_000)
  assert.deepEqual(seen.closed, [])
  void buffers.acquire()
  await clock.advance(1)
  assert.deepEqual(seen.closed, ['Peer does not take what it asked for'])
})
