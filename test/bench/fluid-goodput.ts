// What one TCP connection gets through a shaped cable of the lab: the rate that the fluid limit counts
// with. Of each full segment of 1514 bytes on the wire 1448 are payload (RFC 7323 timestamps).
import * as lab from '../lab/lab.ts'

/** Share of a link's wire rate that TCP payload can have, acknowledgements not counted. */
const PAYLOAD_SHARE = 1448 / 1514

export interface Goodput {
  /** What the limit counts with: the greater of the two, so that noise never flatters a swarm. */
  readonly bytesPerSecond: number
  readonly measuredBytesPerSecond: number
  readonly calculatedBytesPerSecond: number
}

const MEASURE_MS = 3000
/** The bucket and the queues are full when this much has come. */
const LEAD_BYTES = 2 * 2 ** 20

const SERVE = `require('net').createServer((socket) => {
  const bytes = Buffer.alloc(65536)
  const send = () => { while (socket.write(bytes)); }
  socket.on('drain', send).on('error', () => process.exit())
  send()
}).listen(5201)`

const RECEIVE = `const socket = require('net').connect(5201, process.argv[1])
const [leadBytes, measureMs] = process.argv.slice(2).map(Number)
let [bytes, startMs, startBytes] = [0, 0, 0]
socket.on('error', (error) => { console.error(error.message); process.exit(1) })
socket.on('data', (data) => {
  bytes += data.length
  const nowMs = performance.now()
  if (startMs === 0 && bytes >= leadBytes) [startMs, startBytes] = [nowMs, bytes]
  if (startMs === 0 || nowMs - startMs < measureMs) return
  console.log((bytes - startBytes) * 1000 / (nowMs - startMs))
  process.exit()
})`

/** Sends through the cables of both hosts for some seconds. */
export async function measureGoodput(
  scope: lab.Scope,
  hosts: { readonly from: lab.NetworkHost; readonly to: lab.NetworkHost },
  bitsPerSecond: number,
): Promise<Goodput> {
  const program = process.execPath
  const sender = lab.startOnHost(scope, hosts.from, { program, args: ['--eval', SERVE] })
  const args = ['--eval', RECEIVE, hosts.from.address, String(LEAD_BYTES), String(MEASURE_MS)]
  let measuredBytesPerSecond = NaN
  await lab.waitFor(
    'a plain transfer between two hosts',
    async () => {
      const output = await lab.runOnHost(scope, hosts.to, { program, args }).catch(() => '')
      measuredBytesPerSecond = output === '' ? NaN : Number(output)
      return !Number.isNaN(measuredBytesPerSecond)
    },
    { deadlineMs: 60_000, signal: scope.signal },
  )
  await sender.stop('SIGKILL')
  const calculatedBytesPerSecond = (bitsPerSecond / 8) * PAYLOAD_SHARE
  return {
    bytesPerSecond: Math.max(measuredBytesPerSecond, calculatedBytesPerSecond),
    measuredBytesPerSecond,
    calculatedBytesPerSecond,
  }
}
