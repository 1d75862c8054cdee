// How the mounts of this machine are: each process that serves one answers on a socket of its own, with one JSON text for each
// caller. Invariant: nothing of a mount depends on it; only root may ask.
import { createHash } from 'node:crypto'
import { chmod, mkdir, readdir, rm } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { errnoOf, messageOf } from '../../core/core.ts'
import { type MemberState } from './link-state.ts'
import { type VolumeFigures } from './measured-volume.ts'

export interface MountStatus extends VolumeFigures {
  readonly directory: string
  readonly source: string
  /** Of the process that serves it now; its figures begin with it. */
  readonly pid: number
  /** Milliseconds since 1970. */
  readonly startedMs: number
  readonly servers: readonly MemberState[]
}

const FOLDER = '/run/swarmimager/gridfs'
const SUFFIX = '.status'
const ANSWER_MS = 2000

/** One name for a folder, so that the next process takes the place of the last one. */
function socketOf(directory: string): string {
  const name = createHash('sha256').update(directory).digest('hex').slice(0, 24)
  return join(FOLDER, `${name}${SUFFIX}`)
}

/** Answers until it is closed. A machine where that cannot be has mounts all the same. */
export async function serveMountStatus(
  directory: string,
  status: () => MountStatus,
  onNote: (text: string) => void,
): Promise<{ close(): void }> {
  const path = socketOf(directory)
  const server = createServer((caller) => {
    caller.on('error', () => {}) // who asked has gone
    caller.end(JSON.stringify(status()))
  })
  server.unref()
  try {
    await mkdir(FOLDER, { recursive: true, mode: 0o700 })
    await rm(path, { force: true })
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(path, resolve)
    })
    await chmod(path, 0o600)
  } catch (error) {
    onNote(`nobody can ask how ${directory} is: ${messageOf(error)}`)
  }
  return { close: () => void server.close() }
}

/** Of all mounts of this machine, by folder. What a process that was killed has left is removed. */
export async function readMountStatus(): Promise<readonly MountStatus[]> {
  const names = await readdir(FOLDER).catch((error: unknown) => {
    if (errnoOf(error) === 'ENOENT') return []
    throw error
  })
  const sockets = names.filter((name) => name.endsWith(SUFFIX)).map((name) => join(FOLDER, name))
  const all = await Promise.all(sockets.map(ask))
  return all
    .filter((status) => status !== undefined)
    .sort((one, other) => (one.directory < other.directory ? -1 : 1))
}

async function ask(path: string): Promise<MountStatus | undefined> {
  const socket = connect(path)
  const late = setTimeout(() => socket.destroy(new Error('it does not answer')), ANSWER_MS)
  try {
    return JSON.parse(await text(socket)) as MountStatus
  } catch (error) {
    if (errnoOf(error) === 'ECONNREFUSED') await rm(path, { force: true })
    return undefined
  } finally {
    clearTimeout(late)
    socket.destroy()
  }
}
