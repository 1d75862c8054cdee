// libtorrent-rasterbar 2.0 through its Python binding, which is part of Debian's own Python only.
import { join } from 'node:path'
import { run } from '../../../src/host/host.ts'
import { isSiError, SiError } from '../../../src/core/core.ts'
import { type TorrentClient } from './torrent-client.ts'
import { startScript, whenSeeding } from './client-program.ts'

const PYTHON = '/usr/bin/python3'
const SCRIPT = join(import.meta.dirname, 'libtorrent-peer.py')

export const libtorrent: TorrentClient = {
  name: 'libtorrent',
  requireInstalled,
  seed: async (scope, task) => whenSeeding(libtorrent.get(scope, task)),
  get(scope, task) {
    const args = [SCRIPT, task.torrentPath, task.directory, task.host, task.encryption]
    return startScript(scope, { name: 'libtorrent', task, command: { program: PYTHON, args } })
  },
}

async function requireInstalled(): Promise<void> {
  try {
    await run(PYTHON, ['-c', 'import libtorrent'])
  } catch (error) {
    if (!isSiError(error)) throw error
    const message = `Cannot use libtorrent from ${PYTHON}: ${error.message}`
    throw new SiError('ERR_SI_PROGRAM_MISSING', message, {
      ...{ hint: 'Install the package python3-libtorrent', cause: error },
    })
  }
}
