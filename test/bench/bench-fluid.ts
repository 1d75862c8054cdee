// A whole swarm of real processes over links of a known rate, against the least time that any method
// of distribution needs: `npm run bench -- fluid --nodes 16 --rate 40Mbit/s`. One si-server and N
// si-deploy, each in a network namespace of its own, cables shaped both ways. Links carry payload at
// their goodput (fluid-goodput.ts), and so does the limit. What a clock measures: fluid-start.ts.
import { writeFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { parseSize, SiError } from '../../src/core/core.ts'
import * as lab from '../lab/lab.ts'
import { ARRIVALS, arrivalSeconds, type Arrival } from './fluid-arrival.ts'
import { measureGoodput } from './fluid-goodput.ts'
import {
  fluidTable,
  formatMoment,
  formatNodes,
  MOMENT_HEADER,
  summarise,
  type FluidSummary,
} from './fluid-report.ts'
import { runFluid, warmUp } from './fluid-run.ts'
import { makeFluidSite } from './fluid-site.ts'
import { parseRounds, type Bench, type Report } from './report.ts'

interface FluidOptions {
  readonly nodeCount: number
  readonly bitsPerSecond: number
  readonly sizeBytes: number
  readonly pieceLength: string
  readonly arrival: Arrival
  readonly rounds: number
  readonly verbose: boolean
  readonly jsonOut: string | undefined
}

export const benchFluid: Bench = {
  usage:
    '[--nodes 16] [--rate 40Mbit/s] [--size 256MiB] [--piece-length 1MiB] ' +
    `[--arrival ${ARRIVALS.join('|')}] [--rounds 1] [--verbose] [--json-out FILE]`,
  async run(args) {
    const options = parseOptions(args)
    return lab.withScope((scope) => run(scope, options))
  },
}

async function run(scope: lab.Scope, options: FluidOptions): Promise<Report> {
  const { nodeCount, bitsPerSecond, arrival } = options
  const nodeNames = Array.from({ length: nodeCount }, (_, index) => nodeName(index + 1))
  const site = await makeFluidSite(scope, { ...options, nodeNames })
  const { image, network } = site
  await warmUp(site)
  const hosts = { from: network('server'), to: network(nodeName(1)) }
  const goodput = await measureGoodput(scope, hosts, bitsPerSecond)
  const { bytesPerSecond: linkBytesPerSecond } = goodput
  const { packBytes: sizeBytes, pieceCount } = image
  const limitSeconds = lab.fluidLimitSeconds({
    ...{ sizeBytes, nodeCount, pieceCount, linkBytesPerSecond },
  })
  const facts = { image, goodput, limitSeconds, nodeCount, bitsPerSecond, arrival }
  const startSeconds = arrivalSeconds(arrival, nodeCount, sizeBytes / linkBytesPerSecond)
  const say = options.verbose ? (text: string) => console.error(text) : () => {}
  const summaries: FluidSummary[] = []
  for (let round = 0; round < options.rounds; round++) {
    say(MOMENT_HEADER)
    const result = await runFluid(site, {
      ...{ nodeNames, limitSeconds, arrivalSeconds: startSeconds },
      onMoment: (moment) => say(formatMoment(moment, facts)),
    })
    say(formatNodes(result, facts))
    summaries.push(summarise(result, facts))
    if (options.jsonOut === undefined) continue
    const flag = round === 0 ? 'w' : 'a'
    await writeFile(options.jsonOut, `${JSON.stringify({ ...facts, ...result })}\n`, { flag })
  }
  const rows = summaries.map((summary) => ({ ...facts, ...summary }))
  return { table: fluidTable(summaries, facts), rows }
}

function nodeName(number: number): string {
  return `node${String(number).padStart(2, '0')}`
}

function parseOptions(args: readonly string[]): FluidOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      nodes: { type: 'string', default: '16' },
      rate: { type: 'string', default: '40Mbit/s' },
      size: { type: 'string', default: '256MiB' },
      'piece-length': { type: 'string', default: '1MiB' },
      arrival: { type: 'string', default: 'all' },
      rounds: { type: 'string', default: '1' },
      verbose: { type: 'boolean', default: false },
      'json-out': { type: 'string' },
    },
  })
  const arrival = ARRIVALS.find((name) => name === values.arrival)
  const nodeCount = Number(values.nodes)
  // The network of the lab has room for 254 hosts, one of which is the server.
  const isPossible = Number.isInteger(nodeCount) && nodeCount >= 1 && nodeCount <= 253
  if (arrival === undefined || !isPossible) {
    const what = `${values.nodes} nodes that arrive ${values.arrival}`
    throw new SiError('ERR_SI_USAGE', `Cannot run a swarm of ${what}`, {
      hint: `Give 1 to 253 nodes, and one of ${ARRIVALS.join(', ')}`,
    })
  }
  return {
    ...{ nodeCount, arrival, bitsPerSecond: parseBitRate(values.rate) },
    ...{ sizeBytes: parseSize(values.size), pieceLength: values['piece-length'] },
    ...{ rounds: parseRounds(values.rounds), verbose: values.verbose, jsonOut: values['json-out'] },
  }
}

const BIT_FACTORS: Readonly<Record<string, number>> = { k: 1e3, m: 1e6, g: 1e9 }

/** `40Mbit/s` → 40 000 000 bits per second. */
function parseBitRate(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([kmg])bit(?:\/s)?$/i.exec(text)
  if (match === null) {
    throw new SiError('ERR_SI_USAGE', `Cannot read "${text}" as the rate of a link`, {
      hint: 'Write it as networks are sold: 40Mbit/s, 1Gbit/s',
    })
  }
  return Number(match[1]) * (BIT_FACTORS[(match[2] ?? '').toLowerCase()] ?? 1)
}
