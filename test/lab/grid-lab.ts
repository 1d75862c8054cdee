// A server of the grid file system in this process, with certificates made for the test, and clients that
// ask what no mount ever would.
import { randomBytes } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { openCredentials } from '../../src/pki/pki.ts'
import { startGridServer } from '../../src/gridfs/gridfs.ts'
import { GridConnection, type ConnectionOptions } from '../../src/gridfs/client/connection.ts'
import { type Scope } from './scope.ts'
import { createTlsSite, type TlsSite } from './tls-site.ts'

export interface GridLab {
  readonly tls: TlsSite
  readonly port: number
  /** What the server has to say. */
  readonly notes: string[]
  /** What is exported, as /data, to all but "unwanted". */
  readonly directory: string
  connect(name?: string, options?: Partial<ConnectionOptions>): Promise<GridConnection>
}

const ROUND_MS = 100
export const LAB_WAIT_MS = 10_000

export async function startGridLab(scope: Scope): Promise<GridLab> {
  const tls = await createTlsSite()
  scope.defer('certificates', async () => tls[Symbol.asyncDispose]())
  const notes: string[] = []
  const onNote = (text: string) => notes.push(text)
  const files = tls.filesOf(await tls.issue('gridfs-server', 'server'))
  const roles = ['gridfs-server'] as const
  const credentials = await openCredentials(files, { roles, roundMs: ROUND_MS, onNote })
  scope.defer('credentials', async () => Promise.resolve(credentials.close()))
  const [directory, stateDirectory] = [join(scope.directory, 'export'), scope.directory]
  await mkdir(directory)
  const server = await startGridServer({
    ...{ host: '127.0.0.1', port: 0, credentials, onNote, stateDirectory, key: randomBytes(32) },
    exports: [
      {
        ...{ name: '/data', directory, isReadOnly: false },
        mapCaller: (caller) => caller,
        allows: ({ name }) => name !== 'unwanted',
      },
    ],
  })
  scope.defer('server', () => server.close())
  const { port } = server
  const connect: GridLab['connect'] = (name = 'client', options = {}) =>
    connectInLab(scope, { tls, port }, { name, options })
  return { tls, port, notes, directory, connect }
}

async function connectInLab(
  scope: Scope,
  { tls, port }: Pick<GridLab, 'tls' | 'port'>,
  who: { readonly name: string; readonly options: Partial<ConnectionOptions> },
): Promise<GridConnection> {
  const files = tls.filesOf(await tls.issue('gridfs-client', who.name))
  const credentials = await openCredentials(files, { roles: ['gridfs-client'] })
  const connection = new GridConnection({
    ...{ host: '127.0.0.1', port, export: '/data', credentials, softMs: LAB_WAIT_MS },
    ...{ onPush: () => {}, openFiles: () => [], onLost: () => {}, onNote: () => {} },
    ...who.options,
  })
  scope.defer('client', async () => {
    connection.close()
    return Promise.resolve(credentials.close())
  })
  return connection
}
