// What reaches the server of a node's reports, over real HTTP on loopback.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test, type TestContext } from 'node:test'
import { createReporter, type Report } from '../../../src/netboot/node/reporter.ts'
import { within } from '../../lab/within.ts'

const report = (phase: string): Report => ({ phase, percent: null, message: '' })

async function listen(t: TestContext, handle: RequestListener): Promise<string> {
  const server = createServer(handle).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** Answers with these statuses in turn, the last one again and again; keeps what it was told. */
async function serve(t: TestContext, ...statuses: readonly number[]) {
  const phases: string[] = []
  const url = await listen(t, (request, response) => {
    let body = ''
    request.setEncoding('utf8').on('data', (text: string) => (body += text))
    request.on('end', () => {
      const status = statuses[Math.min(phases.length, statuses.length - 1)] ?? 204
      phases.push((JSON.parse(body) as Report).phase)
      response.writeHead(status).end('because')
    })
  })
  return { url, phases }
}

function reporterOf(t: TestContext, url: string) {
  const said: string[] = []
  const end = new AbortController()
  t.after(() => end.abort())
  const say = (text: string) => void said.push(text)
  return { said, ...createReporter({ url }, 'n1', { say, signal: end.signal }) }
}

test('createReporter() delivers the last report after those before it, whatever is left out', async (t) => {
  const { url, phases } = await serve(t, 204)
  const reporter = reporterOf(t, url)
  for (const phase of ['preparing', 'writing', 'finishing']) reporter.report(report(phase))
  await within(reporter.deliver(report('done')), 'the delivery')
  assert.deepEqual(phases, ['preparing', 'done'])
})

test('createReporter() delivers again until the server takes it, and says so', async (t) => {
  const { url, phases } = await serve(t, 503, 204)
  const reporter = reporterOf(t, url)
  await within(reporter.deliver(report('done')), 'the delivery')
  assert.deepEqual(phases, ['done', 'done'])
  assert.match(
    reporter.said[0] ?? '',
    /the last report is not delivered: \S+ answered 503: because; trying again in/,
  )
})

test('createReporter() does not wait for a server that refuses', async (t) => {
  const { url, phases } = await serve(t, 404)
  const reporter = reporterOf(t, url)
  await within(reporter.deliver(report('done')), 'the delivery')
  assert.deepEqual(phases, ['done'])
  assert.match(reporter.said[0] ?? '', /does not take the report: 404 because/)
})

test('createReporter() keeps quiet without a server', async () => {
  const say = () => assert.fail('nothing is to be said')
  const { signal } = new AbortController()
  await createReporter(undefined, 'n1', { say, signal }).deliver(report('done'))
})
