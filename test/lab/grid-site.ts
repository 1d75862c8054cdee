// A server of the grid file system and mounts of it, each a process of the real commands, with certificates
// made for the test.
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { run } from '../../src/host/host.ts'
import { startInLab, type LabProgram } from './lab-program.ts'
import { onCableOf, type Network } from './network.ts'
import { waitFor, type Scope } from './scope.ts'
import { createTlsSite, type IssuedFiles } from './tls-site.ts'

export interface GridSite {
  /** What is exported, as /data. */
  readonly directory: string
  /** The server's process; another one after `restart`. */
  readonly server: () => LabProgram
  /** Starts the server again, on the same port; the old one must have ended. */
  restart(): Promise<void>
  /** Mounts the export, in a network on the host of this name; the folder. */
  mount(name: string): Promise<string>
  /** What somebody needs to mount it: the source, and flags with a certificate made for the name. */
  client(name: string): Promise<{ readonly source: string; readonly flags: readonly string[] }>
  /** The process that keeps a mount. */
  supervisor(name: string): LabProgram
  /** The id of the process that serves a mount now, once there is one. */
  worker(name: string): Promise<number>
}

export interface GridSiteOptions {
  /** Made unless given. */
  readonly directory?: string
  /** Where the server's host is called `storage`; left out: all are on this machine. */
  readonly network?: Network
}

const COMMAND = join(import.meta.dirname, '../../src/cli/si')

/** Exports a folder. */
export async function createGridSite(
  scope: Scope,
  { directory = join(scope.directory, 'export'), network }: GridSiteOptions = {},
): Promise<GridSite> {
  const start: Start = (host, verb, args, isUp) => {
    const command = ['gridfs', verb, ...args, '--json'] as const
    if (network === undefined) return startCommand(scope, [COMMAND, command], isUp)
    return startCommand(scope, onCableOf(network(host), COMMAND, command), isUp)
  }
  const address = network?.('storage').address ?? '127.0.0.1'

  const tls = await createTlsSite()
  scope.defer('certificates', async () => tls[Symbol.asyncDispose]())
  await mkdir(directory, { recursive: true })
  const config = join(scope.directory, 'gridfs.yaml')
  const access = 'access: read-write'
  await writeFile(config, `exports:\n  - { name: /data, directory: ${directory}, ${access} }\n`)
  const identity = ({ certificateFile, keyFile }: IssuedFiles) => [
    ...['--certificate', certificateFile, '--key', keyFile],
    ...['--trust', tls.caFile, '--crl', tls.crlFile],
  ]
  const serverFiles = await tls.issue('gridfs-server', 'server')
  const startServer = async (port: number) => {
    const state = join(scope.directory, 'grid-state')
    const place = ['--config', config, '--state', state, '--host', address, '--port', `${port}`]
    return start('storage', 'serve', [...place, ...identity(serverFiles)], /"serving/)
  }
  let server = await startServer(0)
  const supervisors = new Map<string, LabProgram>()
  const supervisor = (name: string) => {
    const found = supervisors.get(name)
    if (found === undefined) throw new Error(`${name} is not mounted`)
    return found
  }
  const { port } = JSON.parse(server.line) as { port: number }
  const client: GridSite['client'] = async (name) => ({
    source: `${address}:${port}:/data`,
    flags: identity(await tls.issue('gridfs-client', name)),
  })
  return {
    client,
    directory,
    server: () => server.program,
    async restart() {
      server = await startServer(port)
    },
    async mount(name) {
      const folder = join(scope.directory, name)
      await mkdir(folder)
      scope.defer(folder, () => run('umount', ['-l', folder], { okExitCodes: [0, 32] }))
      const { source, flags } = await client(name)
      const args = [source, folder, ...flags]
      const { program } = await start(name, 'mount', args, /"mounted/)
      supervisors.set(name, program)
      return folder
    },
    supervisor,
    async worker(name) {
      let found: number | undefined
      await waitFor(
        `a process that serves ${name}`,
        async () => (found = await findWorker(supervisor(name).pid)) !== undefined,
        { deadlineMs: WORKER_MS, signal: scope.signal },
      )
      return found ?? -1
    },
  }
}

const WORKER_MS = 10_000

/** Among the children of a mount's supervisor. */
async function findWorker(supervisorPid: number): Promise<number | undefined> {
  const children = await readFile(`/proc/${supervisorPid}/task/${supervisorPid}/children`, 'utf8')
  for (const pid of children.trim().split(' ')) {
    const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
    if (command.includes('mount-worker')) return Number(pid)
  }
  return undefined
}

type Start = (
  host: string,
  verb: string,
  args: readonly string[],
  isUp: RegExp,
) => Promise<StartedCommand>

export interface StartedCommand {
  readonly program: LabProgram
  /** Which says that it is up. */
  readonly line: string
}

/** Starts a command, and waits until it says that it is up. */
export async function startCommand(
  scope: Scope,
  [program, args]: readonly [string, readonly string[]],
  isUp: RegExp,
): Promise<StartedCommand> {
  const up = Promise.withResolvers<string>()
  const started = startInLab(scope, 'gridfs', {
    ...{ program, args, onLine: (line) => isUp.test(line) && up.resolve(line) },
  })
  started.exited.then(
    (status) => up.reject(new Error(`${args.join(' ')}: ${status}: ${started.lastWords()}`)),
    up.reject,
  )
  return { program: started, line: await up.promise }
}
