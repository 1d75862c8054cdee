// A server of the grid file system and mounts of it, each a process of the real commands, with certificates
// made for the test.
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { run } from '../../src/host/host.ts'
import { startInLab, type LabProgram } from './lab-program.ts'
import { type Scope } from './scope.ts'
import { createTlsSite, type IssuedFiles } from './tls-site.ts'

export interface GridSite {
  /** What is exported, as /data. */
  readonly directory: string
  /** The server's process; another one after `restart`. */
  readonly server: () => LabProgram
  /** Starts the server again, on the same port; the old one must have ended. */
  restart(): Promise<void>
  /** Mounts the export; the folder. */
  mount(name: string): Promise<string>
}

const COMMAND = join(import.meta.dirname, '../../src/cli/si')

/** Exports a folder; it is made unless given. */
export async function createGridSite(scope: Scope, exported?: string): Promise<GridSite> {
  const tls = await createTlsSite()
  scope.defer('certificates', async () => tls[Symbol.asyncDispose]())
  const directory = exported ?? join(scope.directory, 'export')
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
    const place = ['--config', config, '--state', state, '--host', '127.0.0.1', '--port', `${port}`]
    return startCommand(scope, 'serve', [...place, ...identity(serverFiles)])
  }
  let server = await startServer(0)
  const { port } = JSON.parse(server.line) as { port: number }
  return {
    directory,
    server: () => server.program,
    async restart() {
      server = await startServer(port)
    },
    async mount(name) {
      const folder = join(scope.directory, name)
      await mkdir(folder)
      scope.defer(folder, () => run('umount', ['-l', folder], { okExitCodes: [0, 32] }))
      const files = identity(await tls.issue('gridfs-client', name))
      await startCommand(scope, 'mount', [`127.0.0.1:${port}:/data`, folder, ...files], /"mounted/)
      return folder
    },
  }
}

/** Settles with the line that says that it is up. */
async function startCommand(
  scope: Scope,
  verb: string,
  args: readonly string[],
  isUp = /"serving/,
): Promise<{ readonly program: LabProgram; readonly line: string }> {
  const up = Promise.withResolvers<string>()
  const program = startInLab(scope, `gridfs-${verb}`, {
    ...{ program: COMMAND, args: ['gridfs', verb, ...args, '--json'] },
    onLine: (line) => isUp.test(line) && up.resolve(line),
  })
  program.exited.then(
    (status) => up.reject(new Error(`si-gridfs ${verb}: ${status}: ${program.lastWords()}`)),
    up.reject,
  )
  return { program, line: await up.promise }
}
