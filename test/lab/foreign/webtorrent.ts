// webtorrent 3, a development dependency, in a Node process of its own.
import { join } from 'node:path'
import { SiError } from '../../../src/core/core.ts'
import { type TorrentClient } from './torrent-client.ts'
import { startScript, whenSeeding } from './client-program.ts'

const SCRIPT = join(import.meta.dirname, 'webtorrent-peer.ts')

export const webtorrent: TorrentClient = {
  name: 'webtorrent',
  requireInstalled,
  seed: async (scope, task) => whenSeeding(webtorrent.get(scope, task)),
  get(scope, task) {
    const args = [SCRIPT, task.torrentPath, task.directory, task.encryption]
    const command = { program: process.execPath, args }
    return startScript(scope, { name: 'webtorrent', task, command })
  },
}

async function requireInstalled(): Promise<void> {
  try {
    import.meta.resolve('webtorrent')
  } catch (cause) {
    const hint = 'Run npm install with development dependencies'
    throw new SiError('ERR_SI_PROGRAM_MISSING', 'Package webtorrent is not installed', {
      ...{ hint, cause },
    })
  }
}
