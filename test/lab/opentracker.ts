// opentracker, as Debian builds it: it tracks listed torrents only, and wants to be nobody in a folder of
// its own. Needs root for that.
import { mkdir, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { type InfoHash } from '../../src/torrent/torrent.ts'
import { freePort } from './foreign/client-program.ts'
import { startInLab } from './lab-program.ts'
import { waitFor, type Scope } from './scope.ts'

const READY_MS = 20_000

/** Tracks one torrent on loopback; gone with the scope. */
export async function startOpentracker(
  scope: Scope,
  infoHash: InfoHash,
): Promise<{ readonly announceUrl: string }> {
  const folder = join(scope.directory, 'opentracker')
  await mkdir(folder, { mode: 0o755 })
  await writeFile(join(folder, 'whitelist'), `${infoHash}\n`)
  const port = await freePort()
  const ports = ['-i', '127.0.0.1', '-p', String(port), '-P', String(port)]
  // The folder becomes the root of what it sees.
  const args = [...ports, '-d', folder, '-w', '/whitelist']
  const tracker = startInLab(scope, 'opentracker', { program: 'opentracker', args })
  const ended = tracker.exited.then((status) => {
    throw new Error(`opentracker ended with ${status}: ${tracker.lastWords()}`)
  })
  const up = waitFor('opentracker: listening', () => accepts(port), {
    ...{ deadlineMs: READY_MS, signal: scope.signal },
  })
  await Promise.race([up, ended])
  return { announceUrl: `http://127.0.0.1:${port}/announce` }
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.on('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.on('error', () => resolve(false))
  })
}
