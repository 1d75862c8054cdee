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
  options: Pick<EngineOptions, 'sizeBytes' | 'lanes' | 'only'>,
): readonly EngineContestant[] {
  const lanes = options.lanes.length === 0 ? [undefined] : options.lanes
  const ours = lanes.flatMap((count) => [createOurs(count, false), createOurs(count, true)])
  const clients = [libtorrent, ...ours, aria2, webtorrent]
  const all = [
    ...clients.map((client) => ({ ...client, speaksBitTorrent: true, mostRounds: Infinity })),
    { ...transmission, speaksBitTorrent: true, mostRounds: 1 },
    rawTcp(options.sizeBytes),
  ]
  const names = new Set(all.map(familyOf))
  const unknown = options.only.find((name) => !names.has(name))
  if (unknown === undefined) {
    return all.filter((one) => options.only.length === 0 || options.only.includes(familyOf(one)))
  }
  throw new SiError('ERR_SI_USAGE', `There is no contestant "${unknown}"`, {
    hint: `Say one of ${[...names].join(', ')}`,
  })
}

/** What `only` calls it: the name without options. */
function familyOf({ name }: EngineContestant): string {
  return name.split(' ')[0] ?? ''
}

/** Our engine with so many lanes, or with as many as it takes by itself; with TLS or without. */
function createOurs(lanes: number | undefined, usesTls: boolean): TorrentClient {
  const plainName = lanes === undefined ? 'si' : `si --lanes ${lanes}`
  const name = usesTls ? `${plainName} --tls` : plainName
  const script = join(import.meta.dirname, 'engine-peer.ts')
  const start = (scope: Scope, task: ClientTask, role: string) => {
    const flags = lanes === undefined ? [] : ['--lanes', String(lanes)]
    if (usesTls) flags.push('--tls', `${task.torrentPath}.pki`)
    const args = [script, role, task.torrentPath, task.directory, ...flags]
    return startScript(scope, { name: 'si', task, command: { program: process.execPath, args } })
  }
  return {
    name,
    requireInstalled: async () => {},
    seed: async (scope, task) => whenSeeding(start(scope, task, 'seed')),
    get: (scope, task) => start(scope, task, 'get'),
  }
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
