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
    const { peer, call } = await start(scope, task)
    const { id } = await add(call, task, { paused: true })
    // What is there already counts as checked only after it was.
    await call('torrent-verify', { ids: [id] })
    const torrent = async () => {
      const fields = ['status', 'percentDone']
      const { torrents } = (await call('torrent-get', { ids: [id], fields })) as TorrentList
      return torrents[0]
    }
    const isComplete = async () => {
      const found = await torrent()
      return found?.percentDone === 1 && found.status === 0
    }
    const limits = { deadlineMs: DEADLINE_MS, signal: scope.signal }
    await waitFor('transmission: the check of all pieces', isComplete, limits)
    await call('torrent-start', { ids: [id] })
    const isSeeding = async () => (await torrent())?.status === STATUS_SEEDING
    await waitFor('transmission: seeding', isSeeding, limits)
    return peer
  },
  async get(scope, task) {
    const { peer, call } = await start(scope, task)
    await add(call, task, { paused: false })
    return peer
  },
}

type Call = (method: string, args: object) => Promise<unknown>

interface TorrentList {
  readonly torrents: readonly { readonly status: number; readonly percentDone: number }[]
}

async function start(
  scope: Scope,
  task: ClientTask,
): Promise<{ readonly peer: GettingClient; readonly call: Call }> {
  const folder = await settingsFolder(scope, 'transmission')
  const hook = await createCompletionHook(folder)
  const [port, rpcPort] = [await freePort(), await freePort()]
  const settings = {
    ...{ ...SETTINGS, 'peer-port': port, 'rpc-port': rpcPort, 'download-dir': task.directory },
    ...{ encryption: ENCRYPTION[task.encryption] },
    ...{ 'script-torrent-done-enabled': true, 'script-torrent-done-filename': hook.path },
  }
  await writeFile(join(folder, 'settings.json'), JSON.stringify(settings))
  const command: LabProgramOptions = {
    program: 'transmission-daemon',
    args: ['--foreground', '--config-dir', folder],
  }
  const peer = await startWithHook(scope, {
    ...{ name: 'transmission', task, port, command, hook },
  })
  return { peer, call: await openRpc(scope, `http://127.0.0.1:${rpcPort}/transmission/rpc`) }
}

async function add(
  call: Call,
  task: ClientTask,
  options: { readonly paused: boolean },
): Promise<{ readonly id: number }> {
  const metainfo = (await readFile(task.torrentPath)).toString('base64')
  const args = { metainfo, 'download-dir': task.directory, ...options }
  const answer = (await call('torrent-add', args)) as { 'torrent-added': { id: number } }
  return answer['torrent-added']
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
