// Several servers of the grid file system that hold the same, each a process of the real command with a
// folder of its own, and mounts of them as one.
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { run } from '../../src/host/host.ts'
import { startCommand } from './grid-site.ts'
import { type LabProgram } from './lab-program.ts'
import { type Scope } from './scope.ts'
import { createTlsSite, type IssuedFiles } from './tls-site.ts'

export interface MirrorServer {
  /** What is exported, as /data. */
  readonly directory: string
  readonly port: number
  /** As the other servers know it. */
  readonly name: string
  kill(): Promise<void>
  /** On the same port; the old process must have ended. */
  restart(): Promise<void>
}

export interface MirrorSite {
  readonly servers: readonly MirrorServer[]
  /** What si-gridfs is told to mount. */
  readonly source: string
  /** Mounts all of them as one; the folder. */
  mount(name: string, options?: readonly string[]): Promise<string>
  /** Kills what serves a mount, and takes the folder away that nobody answers for. */
  killMount(name: string): Promise<void>
  /** Runs si-gridfs heal; its standard output. */
  heal(options?: readonly string[]): Promise<string>
}

const COMMAND = join(import.meta.dirname, '../../src/cli/si')

export interface MirrorSiteOptions {
  readonly count: number
  /** Where the folders are made that are exported. */
  readonly exported?: string
}

export async function createMirrorSite(
  scope: Scope,
  { count, exported = scope.directory }: MirrorSiteOptions,
): Promise<MirrorSite> {
  const tls = await createTlsSite()
  scope.defer('certificates', async () => tls[Symbol.asyncDispose]())
  const identity = ({ certificateFile, keyFile }: IssuedFiles) => [
    ...['--certificate', certificateFile, '--key', keyFile],
    ...['--trust', tls.caFile, '--crl', tls.crlFile],
  ]
  const servers: MirrorServer[] = []
  for (let index = 0; index < count; index += 1) {
    const files = identity(await tls.issue('gridfs-server', `server${index}`))
    const directory = join(exported, `export${index}`)
    servers.push(await startServer(scope, { directory, index, files }))
  }
  const mounts = new Map<string, LabProgram>()
  const source = `mirror:${servers.map(({ name }) => name).join()}`
  return {
    ...{ servers, source },
    async mount(name, options = []) {
      const folder = join(scope.directory, name)
      await mkdir(folder)
      scope.defer(folder, () => run('umount', ['-l', folder], { okExitCodes: [0, 32] }))
      const files = identity(await tls.issue('gridfs-client', name))
      const args = ['gridfs', 'mount', source, folder, ...files, ...options, '--json']
      mounts.set(name, (await startCommand(scope, [COMMAND, args], /"mounted/)).program)
      return folder
    },
    async killMount(name) {
      const mounted = mounts.get(name)
      if (mounted === undefined) throw new Error(`nothing is mounted at ${name}`)
      const { pid } = mounted
      const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')
      // The supervisor first: it would start another process.
      const pids = [pid, ...children.trim().split(' ').map(Number)]
      for (const one of pids) process.kill(one, 'SIGKILL')
      await mounted.exited
      await run('umount', ['-l', join(scope.directory, name)], { okExitCodes: [0, 32] })
    },
    async heal(options = []) {
      const files = identity(await tls.issue('gridfs-client', 'healer'))
      const args = ['gridfs', 'heal', source, ...files, '--json', ...options]
      return (await run(COMMAND, args, { signal: scope.signal })).stdout
    },
  }
}

async function startServer(
  scope: Scope,
  place: { readonly directory: string; readonly index: number; readonly files: readonly string[] },
): Promise<MirrorServer> {
  const { directory, index, files } = place
  await mkdir(directory, { recursive: true })
  const config = join(scope.directory, `gridfs${index}.yaml`)
  const access = 'access: read-write'
  await writeFile(config, `exports:\n  - { name: /data, directory: ${directory}, ${access} }\n`)
  const state = join(scope.directory, `grid-state${index}`)
  const options = ['--config', config, '--state', state, '--host', '127.0.0.1']
  const serve = ['gridfs', 'serve', ...options, '--json']
  const start = (port: number) =>
    startCommand(scope, [COMMAND, [...serve, '--port', `${port}`, ...files]], /"serving/)
  const { program, line } = await start(0)
  let running: LabProgram = program
  const { port } = JSON.parse(line) as { port: number }
  return {
    ...{ directory, port, name: `127.0.0.1:${port}:/data` },
    kill: () => running.stop('SIGKILL'),
    async restart() {
      running = (await start(port)).program
    },
  }
}
