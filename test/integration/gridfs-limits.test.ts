// What a client may take of a server: more than its share it does not get, whatever it sends, and others do
// not notice.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { connect as connectPlain } from 'node:net'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { type TLSSocket } from 'node:tls'
import { LAB_WAIT_MS, startGridLab, type GridLab } from '../lab/grid-lab.ts'
import { waitFor, withScope, type Scope } from '../lab/scope.ts'
import { FrameDecoder, NO_SLOT, type Frame } from '../../src/gridfs/wire/frame.ts'
import { decodeReply, encodeRequest } from '../../src/gridfs/wire/message.ts'
import { type WireName, type WireRequestOf } from '../../src/gridfs/wire/operations.ts'

const FILE_BYTES = 2 ** 20
const MIB = 2 ** 20

/** The bytes of a request, as an honest client would send them. */
function request<Name extends WireName>(
  name: Name,
  fields: WireRequestOf<Name>,
  order: { readonly id?: number; readonly slot?: number; readonly sequence?: number } = {},
): Buffer {
  const { id = 1, slot = NO_SLOT, sequence = 0 } = order
  return Buffer.concat(encodeRequest(name, fields, { id, slot, sequence, data: [] }))
}

const hello = (session = 1) =>
  request('hello', {
    ...{ version: 1, session: Buffer.alloc(16, session), export: Buffer.from('/data') },
  })

/** Says hello; the reference of the root. */
async function greet(socket: TLSSocket, session = 1): Promise<Uint8Array> {
  socket.write(hello(session))
  const frame = await nextFrame(socket)
  return decodeReply('hello', frame).root.reference
}

/** The next frame; what comes behind it is lost. */
async function nextFrame(socket: TLSSocket): Promise<Frame> {
  const decoder = new FrameDecoder()
  for (;;) {
    const [bytes] = (await once(socket, 'data')) as [Buffer]
    const [frame] = decoder.push(bytes)
    if (frame !== undefined) return frame
  }
}

async function says(scope: Scope, lab: GridLab, what: RegExp): Promise<void> {
  await waitFor(
    `${String(what)} in ${lab.notes.join('; ')}`,
    () => lab.notes.some((note) => what.test(note)),
    {
      ...{ deadlineMs: LAB_WAIT_MS, signal: scope.signal },
    },
  )
}

/** An honest client is served all the while. */
async function servesOthers(lab: GridLab): Promise<void> {
  const other = await lab.connect('other')
  const { root } = await other.ready
  await other.call('getattr', { reference: root.reference })
}

describe('a server of the grid file system', () => {
  test('opens no more files for a client than it may have, and goes on with others', async () => {
    await withScope(async (scope) => {
      const lab = await startGridLab(scope, { limits: { clientOpenFiles: 100, openFiles: 150 } })
      await writeFile(join(lab.directory, 'file'), '')
      const opened = async (name: string) => {
        const client = await lab.connect(name)
        const { root } = await client.ready
        const { reply } = await client.call('lookup', {
          ...{ parent: root.reference, name: Buffer.from('file') },
        })
        const { reference } = reply
        const open = (handle: number) => client.call('open', { reference, handle, flags: 0 })
        const handles = Array.from({ length: 120 }, (_, index) => index)
        const results = await Promise.allSettled(handles.map(open))
        const failed = results.filter((one) => one.status === 'rejected')
        for (const { reason } of failed) assert.equal((reason as { code: string }).code, 'ENFILE')
        return { client, open, count: results.length - failed.length }
      }
      const first = await opened('first')
      assert.equal(first.count, 100)
      assert.equal((await opened('second')).count, 50)
      await first.client.call('release', { handle: 5 })
      await first.open(500)
      await servesOthers(lab)
    })
  })

  test('bounds memory for a client that reads no answers, and cuts it off', async () => {
    await withScope(async (scope) => {
      const limits = { clientMemoryBytes: 8 * MIB, stalledMs: 1500 }
      const lab = await startGridLab(scope, { limits })
      await writeFile(join(lab.directory, 'file'), Buffer.alloc(FILE_BYTES, 'x'))
      const honest = await lab.connect('raw')
      const { root } = await honest.ready
      const name = Buffer.from('file')
      const { reply } = await honest.call('lookup', { parent: root.reference, name })
      const socket = await lab.rawClient('raw')
      await greet(socket)
      const open = { reference: reply.reference, handle: 1, flags: 0 }
      socket.write(request('open', open, { slot: 0, sequence: 1 }))
      await nextFrame(socket)
      socket.pause()
      const before = process.memoryUsage().arrayBuffers
      let most = before
      const read = { handle: 1, offset: 0, sizeBytes: FILE_BYTES }
      // A gigabyte of answers.
      for (let id = 0; id < 1000 && !socket.destroyed; id += 1)
        socket.write(request('read', read, { id }))
      const measure = setInterval(() => {
        most = Math.max(most, process.memoryUsage().arrayBuffers)
      }, 20)
      await says(scope, lab, /cut off raw .*does not read its answers/)
      clearInterval(measure)
      assert.ok(most - before < 32 * MIB, `${Math.round((most - before) / MIB)} MiB`)
      await servesOthers(lab)
    })
  })

  test('bounds memory for a client that sends a message byte by byte and not to its end', async () => {
    await withScope(async (scope) => {
      const lab = await startGridLab(scope, { limits: { stalledMs: 2000 } })
      const socket = await lab.rawClient()
      await greet(socket)
      const begin = Buffer.alloc(24)
      begin.writeUInt32LE(10, 0)
      begin.writeUInt32LE(4 * MIB - 100, 4)
      socket.write(begin)
      const before = process.memoryUsage().rss
      const drip = setInterval(() => {
        for (let index = 0; index < 500; index += 1) socket.write('x')
      }, 5)
      scope.defer('drip', async () => Promise.resolve(clearInterval(drip)))
      await says(scope, lab, /cut off raw .*does not send the rest of a message/)
      clearInterval(drip)
      assert.ok(process.memoryUsage().rss - before < 64 * MIB)
      await servesOthers(lab)
    })
  })

  test('cuts off who says nothing after the handshake', async () => {
    await withScope(async (scope) => {
      const lab = await startGridLab(scope, { limits: { stalledMs: 500 } })
      await lab.rawClient()
      await says(scope, lab, /cut off raw .*does not say what it wants/)
    })
  })

  test('lets a client have no more connections and sessions than it may', async () => {
    await withScope(async (scope) => {
      const lab = await startGridLab(scope, { limits: { clientConnections: 3, clientSessions: 2 } })
      const first = await lab.rawClient()
      const second = await lab.rawClient()
      const third = await lab.rawClient()
      await greet(first, 1)
      await greet(second, 2)
      third.write(hello(3))
      assert.equal((await nextFrame(third)).kind, 3)
      const fourth = await lab.rawClient()
      await once(fourth, 'close')
      await says(scope, lab, /refused raw: it has too many connections/)
      await servesOthers(lab)
    })
  })

  test('lets in who is known while strangers begin handshakes and do not end them', async () => {
    await withScope(async (scope) => {
      const lab = await startGridLab(scope, { limits: { connections: 200 } })
      const sockets = Array.from({ length: 150 }, () => {
        // Another address, as strangers have.
        const socket = connectPlain({
          host: '127.0.0.1',
          localAddress: '127.0.0.9',
          port: lab.port,
        })
        socket.on('error', () => {})
        return socket
      })
      scope.defer('strangers', async () => {
        for (const socket of sockets) socket.destroy()
        return Promise.resolve()
      })
      await says(scope, lab, /refused 127\.0\.0\.9: too many handshakes at once/)
      await servesOthers(lab)
      assert.ok(sockets.filter(({ destroyed }) => destroyed).length >= 80)
    })
  })
})
