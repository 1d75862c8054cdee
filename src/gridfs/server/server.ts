// The server of the grid file system: TLS in, connections and exports, and what may change while it runs.
// Invariant: whoever has no right any more (revoked, or by other rules) is cut off. PROTOCOL.md §1.
import { createHmac } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { type AddressInfo, type Socket } from 'node:net'
import { createServer, type Server, type TLSSocket } from 'node:tls'
import { listenError, messageOf, SiError } from '../../core/core.ts'
import { chainOf, type Credentials, type Identity } from '../../pki/pki.ts'
import { PROTOCOL_NAME } from '../wire/operations.ts'
import { DEFAULT_LIMITS, Rooms, type GridLimits } from './limits.ts'
import { ServedConnection } from './served-connection.ts'
import { ForgottenRecords, SharedExport, type GridExport } from './shared-export.ts'

/** What may be another while the server runs. */
export interface GridRules {
  readonly exports: readonly GridExport[]
  readonly limits?: GridLimits
}

export interface GridServerOptions extends GridRules {
  readonly host: string
  readonly port: number
  readonly credentials: Credentials
  /** Seals references; kept over restarts. */
  readonly key: Uint8Array
  /** Where sessions write down what must not be done twice. */
  readonly stateDirectory: string
  /** How long what a client holds is kept while it is away. */
  readonly leaseMs?: number
  readonly onNote: (text: string) => void
}

export interface GridServer {
  readonly port: number
  /** Other exports, rules and limits from now on: whoever loses by them is cut off. */
  setRules(rules: GridRules): void
  /** Answers what is being carried out; mounts wait for the next server. */
  close(): Promise<void>
}

const LEASE_MS = 60_000
const CLIENT = { roles: ['gridfs-client', 'image-server', 'node'], side: 'client' } as const
const HANDSHAKE_MS = 10_000
/** Of one address, before anybody knows whose it is. */
const MOST_HANDSHAKES = 64
const PROGRESS_MS = 1000
/** Longer than any call of a healthy disk takes; a service is killed after 90 s. */
const DRAIN_MS = 20_000
/** Kept for objects of an export, whatever is open. */
const OBJECT_DESCRIPTORS = 4096

export async function startGridServer(options: GridServerOptions): Promise<GridServer> {
  const server = new RunningServer(options, await bootVerifier(options.key))
  await server.listen()
  return server
}

class RunningServer implements GridServer {
  readonly #options: GridServerOptions
  readonly #verifier: Buffer
  readonly #rooms: Rooms
  #exports: ReadonlyMap<string, SharedExport> = new Map()
  readonly #connections = new Map<TLSSocket, ServedConnection>()
  readonly #tls: Server
  readonly #timers: readonly NodeJS.Timeout[]
  #stopRounds = () => {}
  #limits: GridLimits

  constructor(options: GridServerOptions, verifier: Buffer) {
    this.#options = options
    this.#verifier = verifier
    this.#limits = options.limits ?? DEFAULT_LIMITS
    this.#rooms = new Rooms(() => this.#limits)
    // Who is let in is judged by us, so that the log can name the reason.
    this.#tls = createServer({
      ...options.credentials.material,
      ...{ requestCert: true, rejectUnauthorized: false, ALPNProtocols: [PROTOCOL_NAME] },
      handshakeTimeout: HANDSHAKE_MS,
    })
    this.#tls.on('secureConnection', (socket) => this.#serve(socket))
    this.#tls.on('tlsClientError', (error, socket) => {
      options.onNote(`refused ${socket.remoteAddress ?? 'a client'}: ${error.message}`)
    })
    this.#tls.on('drop', (place) => {
      options.onNote(`refused ${place?.remoteAddress ?? 'a client'}: too many connections`)
    })
    boundHandshakes(this.#tls, options.onNote)
    const forgotten = new ForgottenRecords(options.stateDirectory)
    const drop = () => forgotten.drop(this.#exports.values())
    this.#timers = [
      setTimeout(drop, options.leaseMs ?? LEASE_MS).unref(),
      setInterval(() => this.#checkProgress(), PROGRESS_MS).unref(),
    ]
    this.setRules(options)
  }

  get port(): number {
    return (this.#tls.address() as AddressInfo).port
  }

  async listen(): Promise<void> {
    const { host, port, credentials } = this.#options
    await new Promise<void>((resolve, reject) => {
      this.#tls.once('error', (error) => {
        reject(listenError(error, { what: 'for mounts', host, port }))
      })
      this.#tls.listen({ host, port }, resolve)
    })
    this.#stopRounds = credentials.onRound(() => {
      this.#tls.setSecureContext(credentials.material)
      for (const socket of this.#connections.keys()) this.#judge(socket)
    })
  }

  setRules({ exports, limits = DEFAULT_LIMITS }: GridRules): void {
    const before = this.#exports
    const next = this.#shareAll(exports)
    for (const rules of exports) {
      const shared = next.get(rules.name)
      if (shared !== undefined) shared.rules = rules
    }
    this.#exports = next
    this.#limits = limits
    this.#tls.maxConnections = limits.connections
    for (const connection of this.#connections.values()) connection.checkRight()
    for (const [name, gone] of before) if (next.get(name) !== gone) gone.close()
  }

  async close(): Promise<void> {
    this.#stopRounds()
    for (const timer of this.#timers) clearTimeout(timer)
    const closed = new Promise((resolve) => this.#tls.close(resolve))
    const late = setTimeout(() => this.#destroyAll(), DRAIN_MS)
    await Promise.all([...this.#connections.values()].map((connection) => connection.drain()))
    this.#destroyAll()
    clearTimeout(late)
    await closed
    for (const shared of this.#exports.values()) shared.close()
  }

  /** Those that there are already stay. Throws ERR_SI_CONFIGURATION, and then all is as it was. */
  #shareAll(exports: readonly GridExport[]): Map<string, SharedExport> {
    const next = new Map<string, SharedExport>()
    const made: SharedExport[] = []
    try {
      for (const rules of exports) {
        const known = this.#exports.get(rules.name)
        if (known?.rules.directory === rules.directory) next.set(rules.name, known)
        else {
          const shared = this.#share(rules)
          made.push(shared)
          next.set(rules.name, shared)
        }
      }
      return next
    } catch (error) {
      for (const shared of made) shared.close()
      throw error
    }
  }

  #share(rules: GridExport): SharedExport {
    const { key, stateDirectory, leaseMs = LEASE_MS, onNote } = this.#options
    try {
      return new SharedExport(rules, {
        ...{ key, stateDirectory, leaseMs, onNote, rooms: this.#rooms },
        ...{ bootVerifier: this.#verifier, descriptors: OBJECT_DESCRIPTORS },
      })
    } catch (cause) {
      const fault = `Cannot export ${rules.name}: ${messageOf(cause)}`
      const hint =
        'An export is a folder on a file system with file handles: ext4, xfs, btrfs, tmpfs'
      throw new SiError('ERR_SI_CONFIGURATION', fault, { hint, cause })
    }
  }

  #serve(socket: TLSSocket): void {
    const identity = this.#judge(socket)
    if (identity === undefined) return
    const { onNote } = this.#options
    const rooms = this.#rooms.of(`${identity.role}/${identity.name}`)
    if (rooms.connections.isFull) {
      onNote(`refused ${identity.name}: it has too many connections`)
      socket.destroy()
      return
    }
    const connection = new ServedConnection(socket, {
      ...{ identity, rooms, onNote },
      limits: () => this.#limits,
      find: (name) => this.#exports.get(name),
    })
    this.#connections.set(socket, connection)
    socket.on('close', () => this.#connections.delete(socket))
  }

  /** Throws away a connection whose certificate is not (any more) to be believed. */
  #judge(socket: TLSSocket): Identity | undefined {
    const { credentials, onNote } = this.#options
    try {
      if (socket.alpnProtocol !== PROTOCOL_NAME) {
        throw new SiError('ERR_SI_UNTRUSTED', `it does not speak ${PROTOCOL_NAME}`)
      }
      return credentials.check(chainOf(socket.getPeerCertificate(true)), CLIENT)
    } catch (error) {
      onNote(`refused ${socket.remoteAddress ?? 'a client'}: ${messageOf(error)}`)
      socket.on('error', () => {})
      socket.destroy()
      return undefined
    }
  }

  #checkProgress(): void {
    const nowMs = performance.now()
    for (const connection of this.#connections.values()) connection.checkProgress(nowMs)
  }

  #destroyAll(): void {
    for (const socket of this.#connections.keys()) socket.destroy()
  }
}

/** The kernel's own number of this boot: what its page cache holds survives this process, and no reboot. */
async function bootVerifier(key: Uint8Array): Promise<Buffer> {
  const boot = await readFile('/proc/sys/kernel/random/boot_id')
  return createHmac('sha256', key).update(boot).digest()
}

/** Strangers who begin handshakes and do not end them must not keep others out. */
function boundHandshakes(server: Server, onNote: (text: string) => void): void {
  const begun = new Map<string, Set<number>>()
  const end = ({ address, port }: { readonly address: string; readonly port: number }) => {
    const ports = begun.get(address)
    ports?.delete(port)
    if (ports?.size === 0) begun.delete(address)
  }
  server.on('connection', (socket: Socket) => {
    const place = placeOf(socket)
    const ports = begun.get(place.address) ?? new Set()
    begun.set(place.address, ports.add(place.port))
    socket.once('close', () => end(place))
    if (ports.size <= MOST_HANDSHAKES) return
    onNote(`refused ${place.address}: too many handshakes at once`)
    socket.destroy()
  })
  server.on('secureConnection', (socket) => end(placeOf(socket)))
}

function placeOf({ remoteAddress: address = '', remotePort: port = 0 }: Socket) {
  return { address, port }
}
