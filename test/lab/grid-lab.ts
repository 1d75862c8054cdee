// A server of the grid file system in this process, with certificates made for the test, and clients that
// ask what no mount ever would.
import { randomBytes } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { connect, type TLSSocket } from 'node:tls'
import { openCredentials } from '../../src/pki/pki.ts'
import {
  DEFAULT_LIMITS,
  startGridServer,
  type GridLimits,
  type GridRules,
  type GridServer,
} from '../../src/gridfs/gridfs.ts'
import { GridConnection, type ConnectionOptions } from '../../src/gridfs/client/connection.ts'
import { PROTOCOL_NAME } from '../../src/gridfs/wire/operations.ts'
import { type Scope } from './scope.ts'
import { createTlsSite, type TlsSite } from './tls-site.ts'

export interface GridLab {
  readonly tls: TlsSite
  readonly port: number
  /** What the server has to say. */
  readonly notes: string[]
  /** What is exported, as /data, to all but "unwanted". */
  readonly directory: string
  readonly server: GridServer
  readonly rules: GridRules
  connect(name?: string, options?: Partial<ConnectionOptions>): Promise<GridConnection>
  /** A connection that says what the test says, after a handshake as `name`. */
  rawClient(name?: string): Promise<TLSSocket>
}

export interface GridLabOptions {
  readonly limits?: Partial<GridLimits>
  readonly leaseMs?: number
  /** Before the server begins. */
  readonly prepare?: (folders: {
    readonly directory: string
    readonly stateDirectory: string
  }) => Promise<void>
}

const ROUND_MS = 100
const LEASE_MS = 60_000
export const LAB_WAIT_MS = 10_000

export async function startGridLab(
  scope: Scope,
  { limits = {}, leaseMs = LEASE_MS, prepare }: GridLabOptions = {},
): Promise<GridLab> {
  const tls = await createTlsSite()
  scope.defer('certificates', async () => tls[Symbol.asyncDispose]())
  const notes: string[] = []
  const onNote = (text: string) => notes.push(text)
  const files = tls.filesOf(await tls.issue('gridfs-server', 'server'))
  const roles = ['gridfs-server'] as const
  const credentials = await openCredentials(files, { roles, roundMs: ROUND_MS, onNote })
  scope.defer('credentials', async () => Promise.resolve(credentials.close()))
  const directory = join(scope.directory, 'export')
  const stateDirectory = join(scope.directory, 'state')
  await Promise.all([mkdir(directory), mkdir(stateDirectory)])
  await prepare?.({ directory, stateDirectory })
  const rules: GridRules = {
    limits: { ...DEFAULT_LIMITS, ...limits },
    exports: [
      {
        ...{ name: '/data', directory, isReadOnly: false },
        mapCaller: (caller) => caller,
        allows: ({ name }) => name !== 'unwanted',
      },
    ],
  }
  const server = await startGridServer({
    ...{ host: '127.0.0.1', port: 0, credentials, onNote, stateDirectory, leaseMs, ...rules },
    key: randomBytes(32),
  })
  scope.defer('server', () => server.close())
  const { port } = server
  const connectAs: GridLab['connect'] = (name = 'client', options = {}) =>
    connectInLab(scope, { tls, port }, { name, options })
  const rawClient = async (name = 'raw') =>
    openRaw(scope, port, await tls.issue('gridfs-client', name))
  return { tls, port, notes, directory, server, rules, connect: connectAs, rawClient }
}

function openRaw(
  scope: Scope,
  port: number,
  { certPem: cert, keyPem: key }: { readonly certPem: string; readonly keyPem: string },
): Promise<TLSSocket> {
  const socket = connect({
    ...{ host: '127.0.0.1', port, cert, key, rejectUnauthorized: false },
    ALPNProtocols: [PROTOCOL_NAME],
  })
  scope.defer('raw client', () => Promise.resolve(socket.destroy()))
  return new Promise((resolve, reject) => {
    socket.once('secureConnect', () => resolve(socket))
    socket.once('error', reject)
    socket.once('close', () => reject(new Error('the server ended the connection')))
    socket.on('error', () => {}) // the end is told by close
  })
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
    ...{
      onPush: () => {},
      openFiles: () => [],
      onLost: () => {},
      onNote: () => {},
      kept: undefined,
    },
    ...who.options,
  })
  scope.defer('client', async () => {
    connection.close()
    return Promise.resolve(credentials.close())
  })
  return connection
}
