// Who takes part in the engine bench. Each is seeder and getter of its own kind, with the settings in its
// driver: no limits, no encryption, no uTP, large buffers and queues where it can be told. transmission 3.00
// asks one peer for 512 blocks a second, however fast that is, so one round of it says all.
import { join } from 'node:path'
import { SiError } from '../../src/core/core.ts'
import { aria2 } from '../lab/foreign/aria2.ts'
import { startScript, whenSeeding } from '../lab/foreign/client-program.ts'
import { libtorrent } from '../lab/foreign/libtorrent.ts'
import {
  type ClientProcess,
  type ClientTask,
  type GettingClient,
  type TorrentClient,
} from '../lab/foreign/torrent-client.ts'
import { transmission } from '../lab/foreign/transmission.ts'
import { webtorrent } from '../lab/foreign/webtorrent.ts'
import { type Scope } from '../lab/scope.ts'
import type { EngineOptions } from './bench-engine.ts'

export interface EngineContestant {
  readonly name: string
  /** Announces itself, finds its peer by the tracker, and keeps a copy; raw TCP does not. */
  readonly speaksBitTorrent: boolean
  /** Fewer rounds for who is slow and always the same. */
  readonly mostRounds: number
  requireInstalled(): Promise<void>
  seed(scope: Scope, task: ClientTask): Promise<ClientProcess>
  get(scope: Scope, task: ClientTask, seeder: ClientProcess): Promise<GettingClient>
}

/** Every figure is also given as a ratio to this one's. */
export const BASELINE = libtorrent.name

/** In the order of the table. Throws ERR_SI_USAGE when `only` names somebody unknown. */
export function engineContestants(
  options: Pick<EngineOptions, 'sizeBytes' | 'only'>,
): readonly EngineContestant[] {
  const clients = [libtorrent, ours, aria2, webtorrent]
  const all = [
    ...clients.map((client) => ({ ...client, speaksBitTorrent: true, mostRounds: Infinity })),
    { ...transmission, speaksBitTorrent: true, mostRounds: 1 },
    rawTcp(options.sizeBytes),
  ]
  const names = all.map(({ name }) => name)
  const unknown = options.only.find((name) => !names.includes(name))
  if (unknown === undefined) {
    return all.filter(({ name }) => options.only.length === 0 || options.only.includes(name))
  }
  throw new SiError('ERR_SI_USAGE', `There is no contestant "${unknown}"`, {
    hint: `Say one of ${names.join(', ')}`,
  })
}

const ours: TorrentClient = {
  name: 'si',
  requireInstalled: async () => {},
  seed: async (scope, task) => whenSeeding(startOurs(scope, task, 'seed')),
  get: (scope, task) => startOurs(scope, task, 'get'),
}

function startOurs(scope: Scope, task: ClientTask, role: string): Promise<GettingClient> {
  const script = join(import.meta.dirname, 'engine-peer.ts')
  const args = [script, role, task.torrentPath, task.directory]
  return startScript(scope, { name: 'si', task, command: { program: process.execPath, args } })
}

function rawTcp(sizeBytes: number): EngineContestant {
  const name = 'raw-tcp'
  const start = (scope: Scope, task: ClientTask, args: readonly string[]) => {
    const script = join(import.meta.dirname, 'raw-tcp-peer.ts')
    const command = { program: process.execPath, args: [script, ...args] }
    return startScript(scope, { name, task, command })
  }
  const size = String(sizeBytes)
  return {
    name,
    speaksBitTorrent: false,
    mostRounds: Infinity,
    requireInstalled: async () => {},
    seed: async (scope, task) => whenSeeding(start(scope, task, ['seed', size])),
    get: (scope, task, seeder) => start(scope, task, ['get', size, seeder.address]),
  }
}
