// One network thread against several, on loopback, with files in memory. `serve`: one seeder with so many
// lanes, several getters in another process. `discard` and `write`: one getter with so many lanes, several
// seeders in another process; pieces are taken as good unseen, or checked and written as si-deploy does.
// Contestants take turns; the first is the baseline. MB and GB are decimal, memory is in MiB.
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { parseSize, SiError } from '../../src/core/core.ts'
import { run } from '../../src/host/host.ts'
import { startInLab, type LabProgram } from '../lab/lab-program.ts'
import { withScope, type Scope } from '../lab/scope.ts'
import { within } from '../lab/within.ts'
import { lanesReport } from './lanes-report.ts'
import { writeNoiseTorrent } from './noise-torrent.ts'
import { readMainThreadCpuSeconds, readProcessAccount } from './process-account.ts'
import { parseRounds, type Bench } from './report.ts'

const MODES = ['serve', 'discard', 'write'] as const
export type LanesMode = (typeof MODES)[number]

/** Of the process that has the lanes, from the first piece to the last. */
export interface LanesResult {
  readonly mode: LanesMode
  readonly lanes: number
  readonly round: number
  readonly bytes: number
  readonly seconds: number
  readonly cpuSeconds: number
  /** Of the thread that decides. */
  readonly controlCpuSeconds: number
  readonly peakRssBytes: number
}

interface LanesOptions {
  readonly sizeBytes: number
  readonly rounds: number
  /** On the other side, in one process and on one thread; each is one connection. */
  readonly peers: number
  /** The baseline first. */
  readonly lanes: readonly number[]
}

const PIECE_LENGTH_BYTES = 4 * 2 ** 20
const DEADLINE_MS = 5 * 60_000

export const benchLanes: Bench = {
  usage: '[--size 4GiB] [--rounds 3] [--peers 4] [--lanes 1 --lanes 2]',
  async run(args) {
    const { values } = parseArgs({
      args: [...args],
      options: {
        size: { type: 'string', default: '4GiB' },
        rounds: { type: 'string', default: '3' },
        peers: { type: 'string', default: '4' },
        lanes: { type: 'string', multiple: true, default: ['1', '2'] },
      },
    })
    const options: LanesOptions = {
      sizeBytes: parseSize(values.size),
      rounds: parseRounds(values.rounds),
      peers: parseCount(values.peers),
      lanes: values.lanes.map(parseCount),
    }
    return lanesReport(await withScope((scope) => runAll(scope, options)))
  },
}

function parseCount(text: string): number {
  const count = Number(text)
  if (Number.isInteger(count) && count >= 1 && count <= 32) return count
  throw new SiError('ERR_SI_USAGE', `Cannot take ${text} as a number`, { hint: 'Say 1 to 32' })
}

interface Site {
  readonly scope: Scope
  readonly directory: string
  readonly torrentPath: string
}

async function runAll(scope: Scope, options: LanesOptions): Promise<readonly LanesResult[]> {
  const site = await prepareSite(scope, options.sizeBytes)
  const results: LanesResult[] = []
  for (const mode of MODES) {
    for (let round = 0; round < options.rounds; round++) {
      for (const lanes of options.lanes) {
        const result = await takeTurn(site, { mode, lanes, round, peers: options.peers })
        results.push(result)
        const rate = result.bytes / 1e6 / result.seconds
        console.error(`${mode}, round ${round + 1}: lanes ${lanes} ${rate.toFixed(0)} MB/s`)
      }
    }
  }
  return results
}

async function prepareSite(scope: Scope, sizeBytes: number): Promise<Site> {
  const directory = join(scope.directory, 'memory')
  await mkdir(directory)
  scope.defer(directory, () => run('umount', [directory], { okExitCodes: [0, 1, 32] }))
  await run('mount', ['-t', 'tmpfs', '-o', 'size=95%', 'tmpfs', directory])
  const torrentPath = join(directory, 'noise.torrent')
  await writeNoiseTorrent(
    { sizeBytes, pieceLengthBytes: PIECE_LENGTH_BYTES, tracker: 'http://127.0.0.1:1/announce' },
    { directory: join(directory, 'seed'), torrentPath },
  )
  return { scope, directory, torrentPath }
}

type Turn = Pick<LanesResult, 'mode' | 'lanes' | 'round'> & Pick<LanesOptions, 'peers'>

async function takeTurn(site: Site, { mode, lanes, round, peers }: Turn): Promise<LanesResult> {
  const isServing = mode === 'serve'
  const many = [`--swarms=${peers}`]
  const one = [`--lanes=${lanes}`]
  const seeder = startPeer(site, ['seed', ...(isServing ? one : many)])
  const ports = (await seeder.says('listening')).split(' ')
  const addresses = ports.map((port) => `--peer=127.0.0.1:${port}`)
  const how = mode === 'write' ? [] : ['--discard']
  const getter = startPeer(site, ['get', ...(isServing ? many : one), ...addresses, ...how])
  const { pid } = isServing ? seeder.program : getter.program
  const before = Number(await getter.says('first'))
  const [startMs, from] = [performance.now(), await accountOf(pid)]
  const after = Number(await getter.says('complete'))
  const [endMs, to] = [performance.now(), await accountOf(pid)]
  await getter.program.stop()
  await seeder.program.stop()
  await rm(join(site.directory, 'get'), { recursive: true, force: true })
  return {
    ...{ mode, lanes, round, bytes: after - before, seconds: (endMs - startMs) / 1000 },
    cpuSeconds: to.cpuSeconds - from.cpuSeconds,
    controlCpuSeconds: to.controlCpuSeconds - from.controlCpuSeconds,
    peakRssBytes: to.peakRssBytes,
  }
}

async function accountOf(pid: number) {
  const account = await readProcessAccount(pid)
  return { ...account, controlCpuSeconds: await readMainThreadCpuSeconds(pid) }
}

interface SpeakingPeer {
  readonly program: LabProgram
  /** What follows this word at the beginning of a line; rejects when the program ends instead. */
  says(word: string): Promise<string>
}

function startPeer(site: Site, [role = '', ...flags]: readonly string[]): SpeakingPeer {
  const said = new Map<string, PromiseWithResolvers<string>>()
  const at = (word: string) => {
    const promise = said.get(word) ?? Promise.withResolvers<string>()
    said.set(word, promise)
    return promise
  }
  const script = join(import.meta.dirname, 'lanes-peer.ts')
  const program = startInLab(site.scope, role, {
    program: process.execPath,
    args: [script, role, site.torrentPath, join(site.directory, role), ...flags],
    onLine(line) {
      const [word = ''] = line.split(' ', 1)
      at(word).resolve(line.slice(word.length + 1))
    },
  })
  const ended = program.exited.then((status): never => {
    throw new Error(`${role} ended with status ${status}: ${program.lastWords()}`)
  })
  ended.catch(() => {}) // it may end when nothing more is to be said
  const says = (word: string) =>
    within(Promise.race([at(word).promise, ended]), `"${word}" of ${role}`, DEADLINE_MS)
  return { program, says }
}
