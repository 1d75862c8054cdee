// A thread that owns sockets, seen from the network thread. Invariant: every connection given to it gets
// its last event, from the lane or, when the lane has ended, from here; blocks that a dead lane was
// writing, or received and did not tell, are free again.
import { closeSync, fstatSync } from 'node:fs'
import { Worker } from 'node:worker_threads'
import { errnoOf, messageOf, SiError } from '../../core/core.ts'
import { BatchWriter } from './lane-batch.ts'
import { type PeerGuard } from '../connection/peer-guard.ts'
import { type LaneConnection } from './lane-connection.ts'
import {
  commandWriter,
  readEvents,
  writeAdopt,
  writeHeard,
  type Adoption,
} from './lane-protocol.ts'
import { END_LANE, type LaneData, type LaneMessage, type LaneTls } from './lane-sockets.ts'
import { type Slab } from '../pieces/slab.ts'
import { type UploadBuffers } from '../pieces/upload-buffers.ts'

export interface LaneOptions {
  /** From 1. */
  readonly lane: number
  readonly uploads: UploadBuffers
  /** It has ended by itself; its connections are closed already. */
  readonly guard: PeerGuard | undefined
  readonly onFault: (error: SiError) => void
}

const WORKER = new URL(
  import.meta.url.endsWith('.ts') ? './lane-worker.ts' : './lane-worker.js',
  import.meta.url,
)

/** A lane holds little and makes much short-lived garbage; left alone, the engine lets it grow. */
const LANE_LIMITS = { maxYoungGenerationSizeMb: 8, maxOldGenerationSizeMb: 128 }

interface Held {
  readonly connection: LaneConnection
  readonly fd: number
  /** Device and inode: tell the socket from what has the same number later. */
  readonly identity: string
  slab: Slab | undefined
}

interface KnownSlab {
  readonly id: number
  users: number
}

export class Lane {
  readonly #options: LaneOptions
  readonly #worker: Worker
  readonly #batch = new BatchWriter()
  readonly #held = new Map<number, Held>()
  readonly #slabs = new Map<Slab, KnownSlab>()
  /** Who has told something in the batch that is being read. */
  readonly #heard = new Set<LaneConnection>()
  #nextId = 1
  #nextSlabId = 1
  #willPost = false
  #isAlive = true
  #error: unknown
  readonly #ended: Promise<void>
  #isClosing = false

  constructor(options: LaneOptions) {
    this.#options = options
    const { memory, bufferBytes } = options.uploads
    const { lane, guard } = options
    const tls = guard && { material: guard.material, allowsPlain: guard.allowsPlain }
    const workerData: LaneData = { lane, uploads: { memory, bufferBytes }, tls }
    this.#worker = new Worker(WORKER, { workerData, resourceLimits: LANE_LIMITS })
    this.#worker.on('message', (words: Int32Array) => this.#onEvents(words))
    this.#worker.on('error', (error) => (this.#error = error))
    this.#ended = new Promise((resolve) => {
      this.#worker.on('exit', (code) => {
        this.#onExit(code)
        resolve()
      })
    })
  }

  /** For connections from now on. */
  renewTls(tls: LaneTls): void {
    if (this.#isAlive) this.#post({ tls })
  }

  get guard(): PeerGuard | undefined {
    return this.#options.guard
  }

  get isAlive(): boolean {
    return this.#isAlive
  }

  adopt(connection: LaneConnection, adoption: Adoption, remoteHost: string): void {
    const id = this.#nextId++
    const { fd } = adoption
    const held: Held = { connection, fd, identity: identityOf(fd), slab: undefined }
    this.#held.set(id, held)
    writeAdopt(this.#batch, id, adoption)
    const commands = commandWriter(this.#batch, id)
    const postSoon = () => this.#postSoon()
    postSoon()
    connection.handedOver(
      {
        get commands() {
          postSoon()
          return commands
        },
        useSlab: (slab) => this.#useSlab(held, slab),
        leave: () => this.#leave(id),
      },
      remoteHost,
    )
  }

  /**
   * Has the thread end, and with it all its connections. It is asked to: one that is ended while it loads
   * a native addon takes the process with it. Idempotent.
   */
  close(): Promise<void> {
    if (!this.#isClosing) this.#worker.postMessage(END_LANE)
    this.#isClosing = true
    return this.#ended
  }

  #useSlab(held: Held, slab: Slab): number {
    let known = this.#slabs.get(slab)
    if (known === undefined) {
      known = { id: this.#nextSlabId++, users: 0 }
      this.#slabs.set(slab, known)
      const { memory, slotBytes, table } = slab
      this.#post({ slabId: known.id, slab: { memory, slotBytes, table: table.share } })
    }
    known.users++
    held.slab = slab
    return known.id
  }

  #leave(id: number): void {
    const slab = this.#held.get(id)?.slab
    this.#held.delete(id)
    const known = slab === undefined ? undefined : this.#slabs.get(slab)
    if (slab === undefined || known === undefined || --known.users > 0) return
    this.#slabs.delete(slab)
    this.#post({ slabId: known.id, slab: null })
  }

  #onEvents(words: Int32Array): void {
    if (!this.#isAlive) return
    readEvents(words, {
      mark: () => {
        writeHeard(this.#batch)
        this.#postSoon()
      },
      find: (id) => this.#hear(id),
    })
    for (const connection of this.#heard) connection.onDrained()
    this.#heard.clear()
  }

  #hear(id: number): LaneConnection | undefined {
    const connection = this.#held.get(id)?.connection
    if (connection !== undefined) this.#heard.add(connection)
    return connection
  }

  /** All commands of one turn of the event loop go in one message. */
  #postSoon(): void {
    if (this.#willPost || !this.#isAlive) return
    this.#willPost = true
    setImmediate(() => {
      this.#willPost = false
      const batch = this.#batch.take()
      this.#post(batch, [batch.buffer])
    })
  }

  #post(message: LaneMessage, transfer: readonly ArrayBuffer[] = []): void {
    this.#worker.postMessage(message, transfer)
  }

  #onExit(code: number): void {
    this.#isAlive = false
    for (const slab of this.#slabs.keys()) slab.table.forgetLane(this.#options.lane)
    this.#slabs.clear()
    const isFault = !this.#isClosing
    const reason = this.#error === undefined ? `status ${code}` : messageOf(this.#error)
    const fault = new SiError('ERR_SI_SWARM', `Network lane broke down: ${reason}`, {
      cause: this.#error,
    })
    for (const held of this.#held.values()) {
      closeIfLeft(held)
      held.connection.onClosed(isFault ? fault : undefined)
    }
    if (isFault) this.#options.onFault(fault)
  }
}

/** A thread closes its sockets when it ends, but not those that it was sent and had not seen yet. */
function closeIfLeft({ fd, identity }: Held): void {
  try {
    if (identityOf(fd) === identity) closeSync(fd)
  } catch (error) {
    if (errnoOf(error) !== 'EBADF') throw error
  }
}

function identityOf(fd: number): string {
  const { dev, ino } = fstatSync(fd)
  return `${dev}:${ino}`
}
