// The server of the grid file system: TLS in, sessions by export. Invariant: nothing of a client is looked
// at before its certificate was judged, and whoever is revoked is cut off. PROTOCOL.md §1.
import { createHash, createHmac, randomBytes } from 'node:crypto'
import { createServer, type TLSSocket, type Server } from 'node:tls'
import { readFile } from 'node:fs/promises'
import { constants } from 'node:os'
import { join } from 'node:path'
import { type AddressInfo } from 'node:net'
import { isSiError, listenError, messageOf, SiError } from '../../core/core.ts'
import { chainOf, type Credentials, type Identity } from '../../pki/pki.ts'
import { LockTable } from '../lock-table.ts'
import { FrameDecoder, writeFrame, type Frame } from '../wire/frame.ts'
import { decodeRequest, encodeFailure, encodeReply } from '../wire/message.ts'
import {
  PROTOCOL_NAME,
  VERSION,
  wireKinds,
  type WireCaller,
  type WireReplyOf,
  type WireRequestOf,
} from '../wire/operations.ts'
import { latin1, ObjectTable } from './object-table.ts'
import { OpenFiles } from './open-files.ts'
import { Orphans } from './orphans.ts'
import { MAXIMUM_WAITING_BYTES, ServerSession, SLOTS } from './session.ts'
import { Turns } from './turns.ts'

export interface GridExport {
  readonly name: string
  readonly directory: string
  readonly isReadOnly: boolean
  readonly mapCaller: (caller: WireCaller) => WireCaller
  /** Whether a client with this certificate may use it. */
  readonly allows: (identity: Identity) => boolean
}

export interface GridServerOptions {
  readonly host: string
  readonly port: number
  readonly exports: readonly GridExport[]
  readonly credentials: Credentials
  /** Seals references; kept over restarts. */
  readonly key: Uint8Array
  /** Where sessions write down what must not be done twice. */
  readonly stateDirectory: string
  readonly onNote: (text: string) => void
}

export interface GridServer {
  readonly port: number
  close(): Promise<void>
}

const LEASE_MS = 60_000
const CLIENT = { roles: ['gridfs-client', 'image-server', 'node'], side: 'client' } as const
const MAXIMUM_OPEN_FILES = 16_384
const MAXIMUM_DESCRIPTORS = 4096
const HANDSHAKE_MS = 10_000

interface SharedExport extends GridExport {
  readonly objects: ObjectTable
  readonly orphans: Orphans
  readonly locks: LockTable
  readonly turns: Turns
  readonly sessions: Map<string, LeasedSession>
}

interface LeasedSession {
  readonly session: ServerSession
  /** Ends it when its client does not come back. */
  lease: NodeJS.Timeout | undefined
}

export async function startGridServer(options: GridServerOptions): Promise<GridServer> {
  const verifier = await bootVerifier(options.key)
  const shared = new Map(options.exports.map((one) => [one.name, share(one, options)]))
  const connections = new Set<TLSSocket>()
  // Who is let in is judged by us, so that the log can name the reason.
  const server = createServer({
    ...options.credentials.material,
    ...{ requestCert: true, rejectUnauthorized: false, ALPNProtocols: [PROTOCOL_NAME] },
    handshakeTimeout: HANDSHAKE_MS,
  })
  server.on('secureConnection', (socket) => {
    connections.add(socket)
    socket.on('close', () => connections.delete(socket))
    serve(socket, { shared, verifier, ...options })
  })
  server.on('tlsClientError', (error, socket) => {
    options.onNote(`refused ${socket.remoteAddress ?? 'a client'}: ${error.message}`)
  })
  const stopRounds = options.credentials.onRound(() => {
    server.setSecureContext(options.credentials.material)
    for (const socket of connections) judge(socket, options)
  })
  await listen(server, options)
  return {
    port: (server.address() as AddressInfo).port,
    async close() {
      stopRounds()
      for (const socket of connections) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
      for (const { sessions, objects } of shared.values()) {
        for (const { session, lease } of sessions.values()) {
          clearTimeout(lease)
          session.end()
        }
        objects.close()
      }
    },
  }
}

function share(one: GridExport, { key }: GridServerOptions): SharedExport {
  const { directory, name } = one
  const objects = new ObjectTable({ directory, name, key, limit: MAXIMUM_DESCRIPTORS })
  const orphans = new Orphans(directory, objects)
  return {
    ...one,
    objects,
    orphans,
    locks: new LockTable(),
    turns: new Turns(),
    sessions: new Map(),
  }
}

/** The kernel's own number of this boot: what its page cache holds survives this process, and no reboot. */
async function bootVerifier(key: Uint8Array): Promise<Buffer> {
  const boot = await readFile('/proc/sys/kernel/random/boot_id')
  return createHmac('sha256', key).update(boot).digest()
}

interface Serving extends GridServerOptions {
  readonly shared: ReadonlyMap<string, SharedExport>
  readonly verifier: Buffer
}

/** Throws away a connection whose certificate is not (any more) to be believed. */
function judge(
  socket: TLSSocket,
  { credentials, onNote }: GridServerOptions,
): Identity | undefined {
  try {
    if (socket.alpnProtocol !== PROTOCOL_NAME) {
      throw new SiError('ERR_SI_UNTRUSTED', `it does not speak ${PROTOCOL_NAME}`)
    }
    return credentials.check(chainOf(socket.getPeerCertificate(true)), CLIENT)
  } catch (error) {
    onNote(`refused ${socket.remoteAddress ?? 'a client'}: ${messageOf(error)}`)
    socket.destroy()
    return undefined
  }
}

function serve(socket: TLSSocket, serving: Serving): void {
  const identity = judge(socket, serving)
  if (identity === undefined) return
  socket.setNoDelay(true)
  const decoder = new FrameDecoder()
  const send = (parts: readonly Uint8Array[]) => {
    if (socket.destroyed) return
    writeFrame(socket, parts)
    if (socket.writableLength > MAXIMUM_WAITING_BYTES) {
      serving.onNote(`cut off ${identity.name}: it does not read its answers`)
      socket.destroy()
    }
  }
  let session: ServerSession | undefined
  const take = (frame: Frame) => {
    if (session === undefined) {
      session = greet(frame, { identity, socket, send, serving })
    } else if (frame.kind === wireKinds.cancel) session.cancel(frame.id)
    else session.request(frame).catch(refuse)
  }
  const refuse = (error: unknown) => {
    serving.onNote(`cut off ${identity.name} (${socket.remoteAddress}): ${messageOf(error)}`)
    socket.destroy()
  }
  socket.on('data', (bytes: Buffer) => {
    try {
      for (const frame of decoder.push(bytes)) take(frame)
    } catch (error) {
      if (!isSiError(error)) throw error
      refuse(error)
    }
  })
  socket.on('error', () => {}) // the end is told by close
}

/** The first message: which export, and whether we still know the session. */
function greet(
  frame: Frame,
  client: {
    readonly identity: Identity
    readonly socket: TLSSocket
    readonly send: (parts: readonly Uint8Array[]) => void
    readonly serving: Serving
  },
): ServerSession | undefined {
  const { identity, socket, send, serving } = client
  const { name, request } = decodeRequest(frame)
  if (name !== 'hello') throw new SiError('ERR_SI_PROTOCOL', `"hello" comes first, not "${name}"`)
  const hello = request as WireRequestOf<'hello'>
  if (hello.version !== VERSION) {
    throw new SiError('ERR_SI_PROTOCOL', `version ${hello.version} instead of ${VERSION}`)
  }
  const shared = serving.shared.get(latin1(hello.export))
  if (shared === undefined || !shared.allows(identity)) {
    serving.onNote(`refused ${identity.name} the export ${latin1(hello.export)}`)
    send(
      encodeFailure(
        frame.id,
        shared === undefined ? constants.errno.ENOENT : constants.errno.EACCES,
      ),
    )
    return undefined
  }
  const key = `${identity.role}/${identity.name}/${latin1(hello.session)}`
  const known = shared.sessions.get(key)
  const leased = known ?? begin(shared, key, serving)
  const { session } = leased
  const reply: WireReplyOf<'hello'> = {
    ...{
      isKnown: known !== undefined,
      verifier: serving.verifier,
      slots: SLOTS,
      leaseMs: LEASE_MS,
    },
    isReadOnly: shared.isReadOnly,
    root: {
      reference: shared.objects.root,
      attributes: shared.objects.attributes(shared.objects.root),
    },
  }
  clearTimeout(leased.lease)
  session.attach(send)
  socket.on('close', () => {
    if (!session.detach(send)) return
    leased.lease = setTimeout(() => {
      shared.sessions.delete(key)
      session.end()
    }, LEASE_MS).unref()
  })
  send(encodeReply('hello', frame.id, reply, []))
  return session
}

function begin(shared: SharedExport, key: string, serving: Serving): LeasedSession {
  const { objects, orphans, locks, turns, mapCaller, isReadOnly } = shared
  const session: ServerSession = new ServerSession({
    context: {
      ...{ objects, orphans, locks, turns, mapCaller, verifier: serving.verifier },
      files: new OpenFiles(MAXIMUM_OPEN_FILES),
      client: `${key}#${randomBytes(4).toString('hex')}`,
    },
    isReadOnly,
    slotsFile: join(serving.stateDirectory, createHash('sha256').update(key).digest('hex')),
    tell(push) {
      for (const other of shared.sessions.values()) {
        if (other.session !== session) other.session.push(push)
      }
    },
    onFault: (error, name) => serving.onNote(`fault in ${name}: ${messageOf(error)}`),
  })
  const leased: LeasedSession = { session, lease: undefined }
  shared.sessions.set(key, leased)
  return leased
}

function listen(server: Server, { host, port }: GridServerOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => {
      reject(listenError(error, { what: 'for mounts', host, port }))
    })
    server.listen({ host, port }, resolve)
  })
}
