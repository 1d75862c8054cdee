// aria2 1.36. It connects encrypted first whatever it is told, then plain; `--bt-min-crypto-level=plain`
// makes two of them agree on plain payload. Source: aria2c(1).
import { type Scope } from '../scope.ts'
import { type TorrentClient, type GettingClient, type ClientTask } from './torrent-client.ts'
import {
  createCompletionHook,
  freePort,
  requireProgram,
  settingsFolder,
  startWithHook,
  whenSeeding,
} from './client-program.ts'

const SETTINGS = [
  ...['--no-conf=true', '--console-log-level=warn', '--summary-interval=0'],
  ...['--enable-dht=false', '--enable-dht6=false', '--bt-enable-lpd=false'],
  ...['--bt-require-crypto=false', '--bt-min-crypto-level=plain'],
  ...[
    '--check-integrity=true',
    '--seed-ratio=0.0',
    '--bt-max-peers=0',
    '--disk-cache=64M',
    '--file-allocation=none',
  ],
]

export const aria2: TorrentClient = {
  name: 'aria2',
  requireInstalled: () => requireProgram('aria2c', 'aria2'),
  // The hook is run after the hash check, too.
  seed: (scope, task) => whenSeeding(aria2.get(scope, task)),
  get: start,
}

async function start(scope: Scope, task: ClientTask): Promise<GettingClient> {
  const hook = await createCompletionHook(await settingsFolder(scope, 'aria2'))
  const port = await freePort()
  const own = [`--listen-port=${port}`, `--interface=${task.host}`, `--dir=${task.directory}`]
  const onComplete = `--on-bt-download-complete=${hook.path}`
  const args = [...SETTINGS, ...own, onComplete, task.torrentPath]
  const command = { program: 'aria2c', args }
  return startWithHook(scope, {
    ...{ name: 'aria2', task, port, command, hook },
  })
}
