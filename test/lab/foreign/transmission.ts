// transmission-daemon 3.00 under remote control. It never connects to 127/8, but is glad to be connected
// to from there. Source: rpc-spec.txt and the settings in Editing-Configuration-Files of version 3.00.
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type LabProgramOptions } from '../lab-program.ts'
import { waitFor, type Scope } from '../scope.ts'
import { type TorrentClient, type GettingClient, type ClientTask } from './torrent-client.ts'
import {
  createCompletionHook,
  freePort,
  requireProgram,
  settingsFolder,
  startWithHook,
} from './client-program.ts'

const SETTINGS = {
  ...{ 'dht-enabled': false, 'lpd-enabled': false, 'utp-enabled': false, 'pex-enabled': true },
  ...{ 'port-forwarding-enabled': false, 'rpc-bind-address': '127.0.0.1' },
  ...{ 'rpc-whitelist-enabled': false, 'rpc-host-whitelist-enabled': false },
  ...{ 'download-queue-enabled': false, 'idle-seeding-limit-enabled': false },
  ...{ 'ratio-limit-enabled': false, 'cache-size-mb': 64, preallocation: 0 },
}

/** Values of the setting `encryption`. */
const ENCRYPTION = { plain: 0, preferred: 1 } as const

/** Value of a torrent's `status`. */
const STATUS_SEEDING = 6

const DEADLINE_MS = 120_000

export const transmission: TorrentClient = {
  name: 'transmission',
  requireInstalled: () => requireProgram('transmission-daemon', 'transmission-daemon'),
  async seed(scope, task) {
    const { client, status } = await start(scope, task)
    const isSeeding = async () => (await status()) === STATUS_SEEDING
    await waitFor('transmission: seeding', isSeeding, {
      ...{ deadlineMs: DEADLINE_MS, signal: scope.signal },
    })
    return client
  },
  get: async (scope, task) => (await start(scope, task)).client,
}

interface Started {
  readonly client: GettingClient
  /** The torrent's present one. */
  readonly status: () => Promise<number | undefined>
}

/** What lies in the folder already counts only after it was verified, which must be asked for. */
async function start(scope: Scope, task: ClientTask): Promise<Started> {
  const { client, call } = await startDaemon(scope, task)
  const metainfo = (await readFile(task.torrentPath)).toString('base64')
  const args = { metainfo, 'download-dir': task.directory, paused: true }
  const added = (await call('torrent-add', args)) as { 'torrent-added': { id: number } }
  const ids = [added['torrent-added'].id]
  const status = async () => {
    const found = (await call('torrent-get', { ids, fields: ['status'] })) as TorrentList
    return found.torrents[0]?.status
  }
  await call('torrent-verify', { ids })
  await call('torrent-start', { ids }) // waits for the check
  return { client, status }
}

type Call = (method: string, args: object) => Promise<unknown>

interface TorrentList {
  readonly torrents: readonly { readonly status: number }[]
}

async function startDaemon(
  scope: Scope,
  task: ClientTask,
): Promise<{ readonly client: GettingClient; readonly call: Call }> {
  const folder = await settingsFolder(scope, 'transmission')
  const hook = await createCompletionHook(folder)
  const [port, rpcPort] = [await freePort(), await freePort()]
  const settings = {
    ...{ ...SETTINGS, 'peer-port': port, 'rpc-port': rpcPort, 'download-dir': task.directory },
    ...{ encryption: ENCRYPTION[task.encryption], 'bind-address-ipv4': task.host },
    ...{ 'script-torrent-done-enabled': true, 'script-torrent-done-filename': hook.path },
  }
  await writeFile(join(folder, 'settings.json'), JSON.stringify(settings))
  const command: LabProgramOptions = {
    program: 'transmission-daemon',
    args: ['--foreground', '--config-dir', folder],
  }
  const client = await startWithHook(scope, {
    ...{ name: 'transmission', task, port, command, hook },
  })
  return { client, call: await openRpc(scope, `http://127.0.0.1:${rpcPort}/transmission/rpc`) }
}

/** Waits until the daemon answers; the returned function throws when it refuses. */
async function openRpc(scope: Scope, url: string): Promise<Call> {
  let session = ''
  const ask = async () => {
    const answer = await fetch(url).catch(() => undefined)
    session = answer?.headers.get('x-transmission-session-id') ?? ''
    return session !== ''
  }
  await waitFor('transmission: an answer', ask, { deadlineMs: DEADLINE_MS, signal: scope.signal })
  return async (method, args) => {
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'x-transmission-session-id': session },
      body: JSON.stringify({ method, arguments: args }),
    })
    if (!response.ok) throw new Error(`transmission: ${method} answered ${response.status}`)
    const answer = (await response.json()) as { result: string; arguments: unknown }
    if (answer.result !== 'success') throw new Error(`transmission: ${method}: ${answer.result}`)
    return answer.arguments
  }
}
