// rtorrent 0.9.8 as a daemon. It refuses torrents that name no tracker, and a second connection to an
// address that it is connected with. Source: rtorrent-docs, "Commands Reference".
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Scope } from '../scope.ts'
import { type ClientTask, type GettingClient, type TorrentClient } from './torrent-client.ts'
import {
  createCompletionHook,
  freePort,
  requireProgram,
  settingsFolder,
  startWithHook,
  whenSeeding,
} from './client-program.ts'

const ENCRYPTION = {
  plain: 'none',
  preferred: 'allow_incoming,try_outgoing,enable_retry',
} as const

export const rtorrent: TorrentClient = {
  name: 'rtorrent',
  requireInstalled: () => requireProgram('rtorrent', 'rtorrent'),
  seed: (scope, task) => whenSeeding(rtorrent.get(scope, task)),
  get: start,
}

async function start(scope: Scope, task: ClientTask): Promise<GettingClient> {
  const folder = await settingsFolder(scope, 'rtorrent')
  const hook = await createCompletionHook(folder)
  const port = await freePort()
  const settings = join(folder, 'rtorrent.rc')
  await writeFile(settings, settingsText(task, { port, hookPath: hook.path }))
  const command = { program: 'rtorrent', args: ['-n', '-o', `import=${settings}`] }
  return startWithHook(scope, { name: 'rtorrent', task, port, command, hook })
}

/** The hook runs after a download, and after a check that found all pieces. */
function settingsText(
  task: ClientTask,
  options: { readonly port: number; readonly hookPath: string },
): string {
  const { port, hookPath } = options
  const ifComplete = `"branch=d.complete=,\\"execute2=${hookPath}\\""`
  return `
system.daemon.set = true
network.port_range.set = ${port}-${port}
network.port_random.set = no
network.bind_address.set = ${task.host}
network.http.dns_cache_timeout.set = 0
dht.mode.set = disable
trackers.use_udp.set = no
protocol.pex.set = yes
protocol.encryption.set = ${ENCRYPTION[task.encryption]}
pieces.hash.on_completion.set = no
directory.default.set = ${task.directory}
method.set_key = event.download.finished, hook, ((execute2, ${hookPath}))
method.set_key = event.download.hash_done, hook, ${ifComplete}
load.start = ${task.torrentPath}
`
}
