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
  ...['--seed-ratio=0.0', '--bt-max-peers=0', '--disk-cache=64M', '--file-allocation=none'],
]

export const aria2: TorrentClient = {
  name: 'aria2',
  requireInstalled: () => requireProgram('aria2c', 'aria2'),
  // The hook is run after the hash check, too.
  seed: async (scope, task) => whenSeeding(start(scope, task, ['--check-integrity=true'])),
  get: (scope, task) => start(scope, task, []),
}

async function start(
  scope: Scope,
  task: ClientTask,
  more: readonly string[],
): Promise<GettingClient> {
  const hook = await createCompletionHook(await settingsFolder(scope, 'aria2'))
  const port = await freePort()
  const own = [`--listen-port=${port}`, `--dir=${task.directory}`]
  const onComplete = `--on-bt-download-complete=${hook.path}`
  const args = [...SETTINGS, ...own, onComplete, ...more, task.torrentPath]
  const command = { program: 'aria2c', args }
  return startWithHook(scope, {
    ...{ name: 'aria2', task, port, command, hook },
  })
}
