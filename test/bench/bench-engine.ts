// One seeder to one getter on loopback: our engine against other people's, each between two of its own
// kind, with one TCP connection of Node as the limit. The rounds run in a network of their own.
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { parseSize, SiError } from '../../src/core/core.ts'
import { programFailed, start } from '../../src/host/host.ts'
import { inOwnNetwork } from '../lab/own-network.ts'
import { withScope } from '../lab/scope.ts'
import { engineContestants } from './engine-contestants.ts'
import { engineReport } from './engine-report.ts'
import { parseRounds, type Bench } from './report.ts'
import { type Transfer } from './transfer.ts'

const STORAGES = ['tmpfs', 'disk'] as const
export type Storage = (typeof STORAGES)[number]

export interface EngineOptions {
  readonly sizeBytes: number
  readonly pieceLengthBytes: number
  readonly rounds: number
  readonly storages: readonly Storage[]
  /** Ours takes part once for each number of lanes; once with its own choice when empty. */
  readonly lanes: readonly number[]
  /** Names of contestants; all when empty. */
  readonly only: readonly string[]
}

export interface EngineResult {
  readonly storage: Storage
  readonly contestant: string
  readonly round: number
  readonly transfer: Transfer
}

const PIECE_LENGTH_BYTES = 4 * 2 ** 20

/** Below, start-up is all that is measured. */
const MIN_SIZE_BYTES = 16 * 2 ** 20

export const benchEngine: Bench = {
  usage: '[--size 2GiB] [--rounds 3] [--storage tmpfs --storage disk] [--lanes N]… [--only NAME]…',
  async run(args) {
    const { values } = parseArgs({
      args: [...args],
      options: {
        size: { type: 'string', default: '2GiB' },
        rounds: { type: 'string', default: '3' },
        storage: { type: 'string', multiple: true, default: [...STORAGES] },
        lanes: { type: 'string', multiple: true, default: [] },
        only: { type: 'string', multiple: true, default: [] },
      },
    })
    const sizeBytes = parseEngineSize(values.size)
    const results = await runRounds({
      sizeBytes,
      pieceLengthBytes: PIECE_LENGTH_BYTES,
      rounds: parseRounds(values.rounds),
      storages: values.storage.map(parseStorage),
      lanes: values.lanes.map(parseLanes),
      only: values.only,
    })
    return engineReport(sizeBytes, results)
  },
}

function parseEngineSize(text: string): number {
  const sizeBytes = parseSize(text)
  if (sizeBytes >= MIN_SIZE_BYTES) return sizeBytes
  throw new SiError('ERR_SI_USAGE', `A file of ${text} is too small`, {
    hint: 'Give 16MiB or more',
  })
}

function parseStorage(text: string): Storage {
  const storage = STORAGES.find((name) => name === text)
  if (storage !== undefined) return storage
  throw new SiError('ERR_SI_USAGE', `There is no storage "${text}"`, { hint: 'Say tmpfs or disk' })
}

function parseLanes(text: string): number {
  const lanes = Number(text)
  if (Number.isInteger(lanes) && lanes >= 1) return lanes
  throw new SiError('ERR_SI_USAGE', `Cannot run ${text} lanes`, { hint: 'Give a number from 1' })
}

async function runRounds(options: EngineOptions): Promise<readonly EngineResult[]> {
  for (const contestant of engineContestants(options)) await contestant.requireInstalled()
  return withScope(async ({ signal }) => {
    const script = join(import.meta.dirname, 'engine-rounds.ts')
    const command = [process.execPath, script, JSON.stringify(options)]
    const [program, args] = inOwnNetwork(command)
    const { process: child, exited } = start(program, args, {
      ...{ stdio: ['ignore', 'pipe', 'inherit'], signal },
    })
    let output = ''
    child.stdout?.setEncoding('utf8').on('data', (text: string) => (output += text))
    const result = await exited
    if (result.exitCode !== 0) throw programFailed(script, [], result)
    return JSON.parse(output) as EngineResult[]
  })
}
