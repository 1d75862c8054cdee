// The command line of the simulation: text → SimOptions. Pure.
import { parseArgs, type ParseArgsConfig } from 'node:util'
import { parseDuration, parseRate, parseSize, SiError } from '../../src/core/core.ts'
import { UPLOAD_BUFFER_BYTES } from '../../src/swarm/swarm.ts'
import { createRandom } from './seeded-random.ts'
import { type SimNodeOptions, type SimOptions } from './sim-swarm.ts'

export const USAGE = `npm run sim -- --nodes 16 --rate 40Mbit/s --pieces 256
npm run sim -- --nodes 1000 --racks 25 --rack-rate 1Gbit/s --rates 125MB/s:0.8,12.5MB/s:0.2

Deploys an image in virtual time with the real swarm code and prints how long nodes take as multiples of
the fluid limit max(S/U, S/d_min, N S/(U + sum of u)), S over a rack's link included.

  --nodes N            nodes (16)
  --pieces N           pieces of the image (256)
  --piece-size SIZE    length of a piece (1MiB)
  --rate RATE          of each link, both ways (125MB/s); also 40Mbit/s
  --rates RATE:PART,…  several kinds of nodes, and what part of all nodes is of each
  --server-rate RATE   of the image server's link (that of --rate)
  --racks N            nodes stand in so many racks (no racks)
  --rack-rate RATE     of each rack's link to the core, both ways (unlimited)
  --arrival HOW        at-once, staggered:DURATION, or late:DURATION, when a tenth comes so late (at-once)
  --jitter DURATION    nodes come up to so much apart even when at once (20ms)
  --latency DURATION   one way (0.2ms)
  --check DURATION     from the last byte of a piece to its being announced (0ms)
  --fragment SIZE      payload is handed over in parts of this size (128KiB)
  --settle DURATION    rates are found anew this often at most; 0ms is exact, more is faster and by a
                       percent too kind (a sixteenth of what such a part takes over the fastest link)
  --upload-buffer SIZE what a connection is given to send at once (1MiB)
  --seed N             of the random numbers (1)
  --runs N             runs with seeds from that one on (1)
  --until MULTIPLE     of the fluid limit, to give up at (20)
  --verbose            a line for each second of virtual time, on stderr
  --every DURATION     the time between these lines (1s)
  --json               the figures as JSON lines
  --help

Exit: 0 all nodes complete, 1 not all, 2 usage
`

const OPTIONS = {
  nodes: { type: 'string', default: '16' },
  pieces: { type: 'string', default: '256' },
  'piece-size': { type: 'string', default: '1MiB' },
  rate: { type: 'string', default: '125MB/s' },
  rates: { type: 'string' },
  'server-rate': { type: 'string' },
  racks: { type: 'string' },
  'rack-rate': { type: 'string', default: 'unlimited' },
  arrival: { type: 'string', default: 'at-once' },
  jitter: { type: 'string', default: '20ms' },
  latency: { type: 'string', default: '0.2ms' },
  settle: { type: 'string' },
  check: { type: 'string', default: '0ms' },
  fragment: { type: 'string', default: '128KiB' },
  'upload-buffer': { type: 'string' },
  seed: { type: 'string', default: '1' },
  runs: { type: 'string', default: '1' },
  until: { type: 'string', default: '20' },
  verbose: { type: 'boolean', default: false },
  every: { type: 'string', default: '1s' },
  json: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} as const satisfies ParseArgsConfig['options']

export interface SimArguments {
  readonly isHelp: boolean
  readonly isVerbose: boolean
  readonly isJson: boolean
  readonly everyMs: number
  /** One for each run. */
  readonly runs: readonly SimOptions[]
}

/** The words after the command. Throws ERR_SI_USAGE, and what parseArgs throws. */
export function parseSimArguments(words: readonly string[]): SimArguments {
  const { values } = parseArgs({ args: [...words], options: OPTIONS })
  const firstSeed = count(values.seed, 'seed')
  const runs = Array.from({ length: count(values.runs, 'runs') }, (_, run) => firstSeed + run)
  return {
    isHelp: values.help,
    isVerbose: values.verbose,
    isJson: values.json,
    everyMs: parseDuration(values.every),
    runs: runs.map((seed) => optionsOf(values, seed)),
  }
}

type Values = ReturnType<typeof parseArgs<{ options: typeof OPTIONS }>>['values']

function optionsOf(values: Values, seed: number): SimOptions {
  const nodes = nodesOf(values, seed)
  return {
    seed,
    pieceCount: count(values.pieces, 'pieces'),
    pieceLengthBytes: parseSize(values['piece-size']),
    serverBytesPerSecond: parseBitRate(values['server-rate'] ?? values.rate),
    nodes,
    latencyMs: parseMilliseconds(values.latency),
    settleMs: settleMsOf(values, nodes),
    checkMs: parseMilliseconds(values.check),
    fragmentBytes: parseSize(values.fragment),
    uploadBufferBytes: parseSize(values['upload-buffer'] ?? String(UPLOAD_BUFFER_BYTES)),
    rackBytesPerSecond: parseBitRate(values['rack-rate']),
    announceIntervalMs: 20_000,
    untilMultiple: count(values.until, 'fluid limits'),
  }
}

function settleMsOf(values: Values, nodes: readonly SimNodeOptions[]): number {
  if (values.settle !== undefined) return parseMilliseconds(values.settle)
  const fastest = Math.max(...nodes.map(({ upBytesPerSecond }) => upBytesPerSecond))
  return (parseSize(values.fragment) * 1000) / fastest / 16
}

function nodesOf(values: Values, seed: number): SimNodeOptions[] {
  const nodes = count(values.nodes, 'nodes')
  const racks = values.racks === undefined ? undefined : count(values.racks, 'racks')
  const random = createRandom(seed, 0)
  const rates = shuffle(ratesOf(values, nodes), random)
  const starts = shuffle(startsOf(values, nodes, random), random)
  return rates.map((rate, index) => ({
    rack: racks === undefined ? undefined : `rack-${index % racks}`,
    ...{ upBytesPerSecond: rate, downBytesPerSecond: rate, startMs: starts[index] ?? 0 },
  }))
}

const ARRIVALS = ['at-once', 'staggered', 'late']

/** Of each kind its part of the nodes, rounded; the last kind gets the rest. */
function ratesOf(values: Values, nodes: number): number[] {
  const kinds = (values.rates ?? `${values.rate}:1`).split(',').map((kind) => {
    const [rate = '', part = '1'] = kind.split(':')
    return { rate: parseBitRate(rate), part: parsePart(part) }
  })
  const rates = kinds.flatMap(({ rate, part }) =>
    Array<number>(Math.round(part * nodes)).fill(rate),
  )
  const last = kinds.at(-1)?.rate ?? 0
  return Array.from({ length: nodes }, (_, index) => rates[index] ?? last)
}

function startsOf(values: Values, nodes: number, random: () => number): number[] {
  const [how = '', over = '0'] = values.arrival.split(':')
  if (!ARRIVALS.includes(how)) {
    throw new SiError('ERR_SI_USAGE', `Cannot read "${values.arrival}" as a way of arriving`, {
      hint: 'Write at-once, staggered:DURATION or late:DURATION',
    })
  }
  const overMs = parseDuration(over)
  const jitterMs = parseDuration(values.jitter)
  const lateFrom = how === 'late' ? nodes - Math.ceil(nodes / 10) : nodes
  return Array.from({ length: nodes }, (_, index) => {
    const staggerMs = how === 'staggered' ? random() * overMs : 0
    return staggerMs + random() * jitterMs + (index >= lateFrom ? overMs : 0)
  })
}

function shuffle<T>(items: readonly T[], random: () => number): T[] {
  return items
    .map((item) => ({ item, rank: random() }))
    .toSorted((a, b) => a.rank - b.rank)
    .map(({ item }) => item)
}

function count(text: string, what: string): number {
  const value = Number(text)
  if (Number.isSafeInteger(value) && value > 0) return value
  throw new SiError('ERR_SI_USAGE', `Cannot read "${text}" as a number of ${what}`, {
    hint: 'Write a whole number from 1 on',
  })
}

function parsePart(text: string): number {
  const part = Number(text)
  if (part >= 0 && part <= 1) return part
  throw new SiError('ERR_SI_USAGE', `Cannot read "${text}" as a part of all nodes`, {
    hint: 'Write a number from 0 to 1, such as 0.2',
  })
}

/** As parseRate, and in bits: `40Mbit/s`. Infinity for `unlimited`. */
function parseBitRate(text: string): number {
  const bits = /^(.*)bit\/s$/i.exec(text)?.[1]
  if (bits !== undefined) return parseSize(`${bits}B`) / 8
  return parseRate(text) ?? Infinity
}

/** As parseDuration, but in fractions of a millisecond, too. */
function parseMilliseconds(text: string): number {
  const value = /^(\d+(?:\.\d+)?)ms$/.exec(text)?.[1]
  return value === undefined ? parseDuration(text) : Number(value)
}
