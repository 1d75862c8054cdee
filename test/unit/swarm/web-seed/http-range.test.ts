// Ranges of files over real HTTP on loopback, from good servers and bad ones.
import assert from 'node:assert/strict'
import { createServer, type RequestListener } from 'node:http'
import test, { type TestContext } from 'node:test'
import { isSiError } from '../../../../src/core/core.ts'
import { createHttpRangeClient } from '../../../../src/swarm/web-seed/http-range.ts'
import { fakeClock } from '../../../lab/fake-clock.ts'

const LIMIT = { timeout: 20_000 }
const FILE = Buffer.from('0123456789')
const NEVER = new AbortController().signal

/** Status, headers and body of an answer to `bytes=2-5` of ten bytes. */
const GOOD = { 'content-range': 'bytes 2-5/10', 'content-length': '4' }

async function serve(t: TestContext, listener: RequestListener) {
  const clock = fakeClock()
  const requests: string[] = []
  let connections = 0
  const server = createServer((request, response) => {
    requests.push(`${request.url ?? ''} ${request.headers.range ?? ''}`)
    listener(request, response)
  })
  server.on('connection', () => connections++)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const client = createHttpRangeClient({ maxConnections: 2, clock })
  t.after(async () => {
    client.close()
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const open = (signal = NEVER) =>
    client.open(
      {
        ...{ url: new URL(`http://127.0.0.1:${port}/file`), fileBytes: FILE.length },
        ...{ offsetBytes: 2, lengthBytes: 4 },
      },
      signal,
    )
  const get = async (signal = NEVER) => {
    const parts: Buffer[] = []
    const body = await open(signal)
    await body.read((fragment) => parts.push(Buffer.from(fragment)))
    return Buffer.concat(parts).toString()
  }
  return { clock, requests, open, get, connections: () => connections }
}

function refusal(pattern: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(isSiError(error, 'ERR_SI_PROTOCOL'), String(error))
    assert.match(error.message, pattern)
    return true
  }
}

test('a range is asked for and read, on one connection after the other', LIMIT, async (t) => {
  const { get, requests, connections } = await serve(t, (_request, response) => {
    response.writeHead(206, GOOD).end(FILE.subarray(2, 6))
  })
  assert.equal(await get(), '2345')
  assert.equal(await get(), '2345')
  assert.deepEqual(requests, ['/file bytes=2-5', '/file bytes=2-5'])
  assert.equal(connections(), 1)
})

test('a body waits until it is read', LIMIT, async (t) => {
  const { open } = await serve(t, (_request, response) => {
    response.writeHead(206, GOOD).end(FILE.subarray(2, 6))
  })
  const [first, second] = [await open(), await open()]
  const order: string[] = []
  await second.read((fragment) => order.push(`second ${String(Buffer.from(fragment))}`))
  await first.read((fragment) => order.push(`first ${String(Buffer.from(fragment))}`))
  assert.deepEqual(order, ['second 2345', 'first 2345'])
})

const BAD: readonly [string, number, Record<string, string>, RegExp][] = [
  ['the whole file', 200, { 'content-length': '10' }, /does not know ranges/],
  ['nothing', 404, {}, /HTTP status 404/],
  ['a range that cannot be', 416, { 'content-range': 'bytes */3' }, /HTTP status 416/],
  ['no Content-Range', 206, { 'content-length': '4' }, /answers ""/],
  ['another range', 206, { 'content-range': 'bytes 3-6/10' }, /answers "bytes 3-6\/10"/],
  ['part of the range', 206, { 'content-range': 'bytes 2-3/10' }, /answers "bytes 2-3\/10"/],
  ['a file of another length', 206, { 'content-range': 'bytes 2-5/11' }, /answers "bytes 2-5\/11"/],
  ['several ranges', 206, { 'content-type': 'multipart/byteranges; boundary=x' }, /answers ""/],
  ['another length', 206, { ...GOOD, 'content-length': '5' }, /announces 5 bytes for 4/],
  ['packed bytes', 206, { ...GOOD, 'content-encoding': 'gzip' }, /sends gzip/],
]
for (const [what, status, headers, pattern] of BAD) {
  test(`an answer with ${what} is refused before its body`, LIMIT, async (t) => {
    const { open } = await serve(t, (_request, response) => {
      response.writeHead(status, headers).write('x')
    })
    await assert.rejects(open(), refusal(pattern))
  })
}

test('a total that the server does not know is accepted', LIMIT, async (t) => {
  const { get } = await serve(t, (_request, response) => {
    response.writeHead(206, { 'content-range': 'bytes 2-5/*' }).end(FILE.subarray(2, 6))
  })
  assert.equal(await get(), '2345')
})

test('a body that ends early or goes on is an error', LIMIT, async (t) => {
  const bodies = ['23', '234567']
  for (const body of bodies) {
    const { get } = await serve(t, (_request, response) => {
      response.writeHead(206, { 'content-range': 'bytes 2-5/10' }).end(body)
    })
    await assert.rejects(get(), refusal(body.length < 4 ? /hung up/ : /more than it was asked/))
  }
  const { get } = await serve(t, (_request, response) => {
    response.writeHead(206, GOOD).write('2')
    setImmediate(() => response.destroy())
  })
  await assert.rejects(get())
})

test('silence before and within an answer is an error after ten seconds', LIMIT, async (t) => {
  const { clock, get, requests } = await serve(t, () => {})
  const waiting = assert.rejects(get(), refusal(/silent for 10 s/))
  while (requests.length === 0) await new Promise((resolve) => setImmediate(resolve))
  await clock.advance(10_000)
  await waiting

  const half = await serve(t, (_request, response) => {
    response.writeHead(206, GOOD).write('2')
  })
  const body = await half.open()
  let hasBegun = false
  const reading = assert.rejects(
    body.read(() => (hasBegun = true)),
    refusal(/silent for 10 s/),
  )
  while (!hasBegun) await new Promise((resolve) => setImmediate(resolve))
  await half.clock.advance(10_000)
  await reading
})

test('redirects are followed three times, and not to other protocols', LIMIT, async (t) => {
  let left = 3
  const { get, requests } = await serve(t, (_request, response) => {
    if (left-- > 0) response.writeHead(302, { location: `/moved${left}` }).end()
    else response.writeHead(206, GOOD).end(FILE.subarray(2, 6))
  })
  assert.equal(await get(), '2345')
  assert.equal(requests.at(-1), '/moved0 bytes=2-5')
  left = 4
  await assert.rejects(get(), refusal(/again and again/))
  for (const location of ['file:///etc/passwd', 'ftp://x/', 'http://']) {
    const bad = await serve(t, (_request, response) => {
      response.writeHead(301, { location }).end()
    })
    await assert.rejects(bad.get(), refusal(/redirects to/))
  }
})

test('an aborted request ends at once, before and while it is read', LIMIT, async (t) => {
  const { open } = await serve(t, (_request, response) => {
    response.writeHead(206, GOOD).write('2')
  })
  const early = new AbortController()
  const opening = open(early.signal)
  early.abort()
  await assert.rejects(opening)
  const late = new AbortController()
  const body = await open(late.signal)
  await assert.rejects(body.read(() => late.abort()))
})

test('a connection that the server closes between two requests is no error', LIMIT, async (t) => {
  let count = 0
  const { get } = await serve(t, (request, response) => {
    count++
    // The second request on a connection is answered by closing it, as if it had been idle too long.
    if (count === 2) request.socket.resetAndDestroy()
    else response.writeHead(206, GOOD).end(FILE.subarray(2, 6))
  })
  assert.equal(await get(), '2345')
  assert.equal(await get(), '2345')
  assert.equal(count, 3)
})
