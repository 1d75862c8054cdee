// All that the kernel relies on and that only this process knows: nodes, what is open, what is locked, errors
// that nobody was told of. Every change is noted in the state log, so that the next process goes on with it.
import { randomBytes } from 'node:crypto'
import { FuseError } from '../fuse/errno.ts'
import { capabilitiesOf, capabilityBits, type KernelOffer } from '../fuse/handshake.ts'
import { type WireEntry } from '../wire/operations.ts'
import { keyOf, NodeTable } from './node-table.ts'
import { StateLog } from './state-log.ts'
import { NAMES_IN_RECORD, type StateRecord } from './state-records.ts'

/** A file as the kernel and as the server call it. */
export interface FileName {
  readonly nodeId: number
  readonly reference: Buffer
}

export interface OpenFile extends FileName {
  readonly flags: number
  hasWritten: boolean
}

export interface OpenFolder {
  readonly nodeId: number
  /** As the server gave them, behind `.` and `..`. */
  names: WireEntry[]
  next: bigint
  isComplete: boolean
}

export class MountState {
  readonly nodes: NodeTable
  readonly files: ReadonlyMap<number, OpenFile>
  readonly folders: ReadonlyMap<number, OpenFolder>
  /** Nodes of which a process has locked ranges. */
  readonly locked: ReadonlySet<number>
  /** Errors of writes of which open files have to be told: errnos' numbers. */
  readonly failed: ReadonlyMap<number, number>
  /** Files of which something may not be on the server's disk. */
  readonly unsynced: ReadonlyMap<string, FileName>
  readonly #files = new Map<number, OpenFile>()
  readonly #folders = new Map<number, OpenFolder>()
  readonly #locked = new Set<number>()
  readonly #failed = new Map<number, number>()
  readonly #unsynced = new Map<string, FileName>()
  readonly #log: StateLog
  #session: Buffer | undefined
  #agreed: KernelOffer | undefined
  #verifier: Buffer | undefined
  #lastHandle = 0

  /** `fd` is an empty file, or what an earlier process has written to it. */
  constructor(fd: number) {
    this.files = this.#files
    this.folders = this.#folders
    this.locked = this.#locked
    this.failed = this.#failed
    this.unsynced = this.#unsynced
    this.#log = new StateLog(fd)
    this.nodes = new NodeTable((record) => this.#log.add(record))
    for (const record of this.#log.read()) this.#restore(record)
    this.#log.shorten(this.#records())
  }

  /** Of the server; the same for all processes of a mount. */
  get session(): Buffer {
    this.#session ??= this.#note({ name: 'session', body: { id: randomBytes(16) } }).id
    return this.#session
  }

  /** What the kernel agreed on with the first process. */
  get agreed(): KernelOffer | undefined {
    return this.#agreed
  }

  /** To be called before the kernel is answered. */
  flush(): void {
    this.#log.flush()
    if (this.#log.isLong) this.#log.shorten(this.#records())
  }

  agree(offer: KernelOffer): void {
    this.#agreed = offer
    this.#log.add(agreedRecord(offer))
    this.#log.flush()
  }

  nextHandle(): number {
    this.#lastHandle += 1
    return this.#lastHandle
  }

  /** Handles up to this one have been given. */
  reserveHandle(handle: number): void {
    this.#lastHandle = Math.max(this.#lastHandle, handle)
  }

  opened(handle: number, nodeId: number, flags: number): void {
    const reference = this.nodes.reference(nodeId)
    this.#note({ name: 'opened', body: { handle, node: nodeId, reference, flags } })
  }

  written(handle: number): void {
    if (this.#files.get(handle)?.hasWritten === false) {
      this.#note({ name: 'written', body: { handle } })
    }
  }

  closed(handle: number): void {
    this.#note({ name: 'closed', body: { handle } })
  }

  /** Throws EBADF. */
  folder(handle: number): OpenFolder {
    const folder = this.#folders.get(handle)
    if (folder === undefined) throw new FuseError('EBADF')
    return folder
  }

  openedFolder(handle: number, nodeId: number): void {
    this.#note({ name: 'folder', body: { handle, node: nodeId } })
  }

  read(handle: number, entries: readonly WireEntry[], next: bigint): void {
    const isComplete = entries.length === 0
    this.#log.add({ name: 'names', body: { handle, entries: plain(entries), next, isComplete } })
    addNames(this.folder(handle), { entries, next, isComplete })
  }

  rewound(handle: number): void {
    this.#note({ name: 'rewound', body: { handle } })
  }

  closedFolder(handle: number): void {
    this.#note({ name: 'closedFolder', body: { handle } })
  }

  lock(nodeId: number): void {
    if (!this.#locked.has(nodeId)) this.#note({ name: 'locked', body: { node: nodeId } })
  }

  /** A write of a file failed: each open file of it has to be told, once. False when there is none. */
  fail(nodeId: number, errno: number): boolean {
    const handles = [...this.#files].filter(([, file]) => file.nodeId === nodeId)
    for (const [handle] of handles) {
      if (!this.#failed.has(handle)) this.#note({ name: 'failed', body: { handle, errno } })
    }
    this.#log.flush()
    return handles.length > 0
  }

  told(handle: number): void {
    this.#note({ name: 'failed', body: { handle, errno: 0 } })
  }

  /** Of the server, as it was last seen; undefined before. */
  get verifier(): Uint8Array | undefined {
    return this.#verifier
  }

  met(verifier: Uint8Array): void {
    if (this.#verifier?.equals(verifier) === true) return
    this.#note({ name: 'verifier', body: { verifier } })
    this.#log.flush()
  }

  changed({ nodeId, reference }: FileName): void {
    if (this.#unsynced.has(keyOf(reference))) return
    this.#note({ name: 'unsynced', body: { node: nodeId, reference } })
    this.#log.flush()
  }

  synced(reference: Uint8Array): void {
    this.#note({ name: 'synced', body: { reference } })
  }

  #note<Record extends StateRecord>(record: Record): Record['body'] {
    this.#log.add(record)
    this.#restore(record)
    return record.body
  }

  #restore({ name, body }: StateRecord): void {
    switch (name) {
      case 'session':
        this.#session = Buffer.from(body.id)
        return
      case 'agreed': {
        const { bits, ...rest } = body
        this.#agreed = { ...rest, capabilities: capabilitiesOf(bits) }
        return
      }
      case 'numbers':
        this.nodes.reserve(body.lastNode)
        return this.reserveHandle(body.lastHandle)
      case 'node':
        return void this.nodes.restore(body.node, body.reference)
      case 'lookups':
        return this.nodes.count(body.node, Number(body.change))
      case 'locked':
        return void this.#locked.add(body.node)
      case 'verifier':
        this.#verifier = Buffer.from(body.verifier)
        return
      case 'unsynced': {
        const file = { nodeId: body.node, reference: Buffer.from(body.reference) }
        return void this.#unsynced.set(keyOf(body.reference), file)
      }
      case 'synced':
        return void this.#unsynced.delete(keyOf(body.reference))
      default:
        return this.#restoreOpen({ name, body } as OpenRecord)
    }
  }

  #restoreOpen({ name, body }: OpenRecord): void {
    this.reserveHandle(body.handle)
    switch (name) {
      case 'opened': {
        const { handle, node: nodeId, flags } = body
        const reference = Buffer.from(body.reference)
        this.#files.set(handle, { nodeId, reference, flags, hasWritten: false })
        return
      }
      case 'written': {
        const file = this.#files.get(body.handle)
        if (file !== undefined) file.hasWritten = true
        return
      }
      case 'closed':
        this.#failed.delete(body.handle)
        return void this.#files.delete(body.handle)
      case 'failed':
        if (body.errno === 0) this.#failed.delete(body.handle)
        else this.#failed.set(body.handle, body.errno)
        return
      case 'folder':
        return void this.#folders.set(body.handle, unread(body.node))
      case 'names':
        return addNames(this.folder(body.handle), body)
      case 'rewound':
        return void this.#folders.set(body.handle, unread(this.folder(body.handle).nodeId))
      case 'closedFolder':
        return void this.#folders.delete(body.handle)
      default:
        name satisfies never
    }
  }

  /** All of it, in as few records as possible. */
  *#records(): Generator<StateRecord> {
    yield { name: 'session', body: { id: this.session } }
    if (this.#agreed !== undefined) yield agreedRecord(this.#agreed)
    const numbers = { lastNode: this.nodes.lastId, lastHandle: this.#lastHandle }
    yield { name: 'numbers', body: numbers }
    yield* this.nodes.records()
    for (const [handle, { nodeId, reference, flags, hasWritten }] of this.#files) {
      yield { name: 'opened', body: { handle, node: nodeId, reference, flags } }
      if (hasWritten) yield { name: 'written', body: { handle } }
    }
    for (const [handle, folder] of this.#folders) yield* folderRecords(handle, folder)
    for (const node of this.#locked) yield { name: 'locked', body: { node } }
    for (const [handle, errno] of this.#failed) yield { name: 'failed', body: { handle, errno } }
    if (this.#verifier !== undefined) {
      yield { name: 'verifier', body: { verifier: this.#verifier } }
    }
    for (const { nodeId, reference } of this.#unsynced.values()) {
      yield { name: 'unsynced', body: { node: nodeId, reference } }
    }
  }
}

type OpenRecord = Extract<StateRecord, { readonly body: { readonly handle: number } }>

function agreedRecord({ capabilities, ...rest }: KernelOffer): StateRecord {
  return { name: 'agreed', body: { ...rest, bits: capabilityBits(capabilities) } }
}

const TYPE_FOLDER = 0o040000

function unread(nodeId: number): OpenFolder {
  const names = ['.', '..'].map((name) => ({
    ...{ name: Buffer.from(name), inode: BigInt(nodeId), type: TYPE_FOLDER, found: undefined },
  }))
  return { nodeId, names, next: 0n, isComplete: false }
}

function addNames(
  folder: OpenFolder,
  read: Pick<OpenFolder, 'next' | 'isComplete'> & { readonly entries: readonly WireEntry[] },
): void {
  folder.names.push(...read.entries)
  folder.next = read.next
  folder.isComplete = read.isComplete
}

function* folderRecords(handle: number, folder: OpenFolder): Generator<StateRecord> {
  yield { name: 'folder', body: { handle, node: folder.nodeId } }
  const { names, next, isComplete } = folder
  for (let at = 2; at < names.length; at += NAMES_IN_RECORD) {
    const entries = plain(names.slice(at, at + NAMES_IN_RECORD))
    yield { name: 'names', body: { handle, entries, next, isComplete } }
  }
}

/** What is remembered of names; what they lead to can be asked for again. */
function plain(entries: readonly WireEntry[]): readonly WireEntry[] {
  return entries.map((entry) => ({ ...entry, found: undefined }))
}
