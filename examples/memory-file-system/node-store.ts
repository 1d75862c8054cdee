// The objects of the file system in memory: nodes with attributes, and what each kind holds. A node lives
// as long as it has a name, is open, or is known to the kernel.
import { FuseError, type Entry, type FileAttributes } from '../../src/gridfs/gridfs.ts'
import { BLOCK_BYTES, SparseBytes } from './sparse-bytes.ts'

export interface Node {
  readonly id: number
  /** Type and permissions. */
  mode: number
  uid: number
  gid: number
  linkCount: number
  accessedNs: bigint
  modifiedNs: bigint
  changedNs: bigint
  readonly device: number
  readonly attributes: Map<string, Buffer>
  /** How often the kernel has looked it up. */
  lookups: number
  openCount: number
  readonly bytes: SparseBytes | undefined
  readonly target: Buffer | undefined
  readonly folder: Folder | undefined
}

export interface Folder {
  parent: number
  /** By name in latin1, which has a character for each byte. `order` is where readdir goes on. */
  readonly names: Map<string, { readonly nodeId: number; readonly order: number }>
  lastOrder: number
}

export const TYPE_MASK = 0o170000
export const FOLDER = 0o040000
export const FILE = 0o100000
export const SYMLINK = 0o120000
const SETGID = 0o2000
const GROUP_EXECUTE = 0o010
const PRIVILEGES = 0o6000
const NAME_LIMIT_BYTES = 255
const STAT_BLOCK_BYTES = 512

export interface NewNode {
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly device?: number
  readonly target?: Buffer
}

export class NodeStore {
  readonly #nodes = new Map<number, Node>()
  #lastId = 0
  readonly now: () => bigint

  constructor(now: () => bigint) {
    this.now = now
    const root = this.make({ mode: FOLDER | 0o755, uid: 0, gid: 0 }, 1)
    root.linkCount = 2
  }

  get count(): number {
    return this.#nodes.size
  }

  node(id: number): Node {
    const node = this.#nodes.get(id)
    if (node === undefined) throw new FuseError('ESTALE')
    return node
  }

  folder(id: number): Node & { readonly folder: Folder } {
    const node = this.node(id)
    if (node.folder === undefined) throw new FuseError('ENOTDIR')
    return node as Node & { readonly folder: Folder }
  }

  find(parent: number, name: Buffer): Node {
    const found = this.folder(parent).folder.names.get(name.toString('latin1'))
    if (found === undefined) throw new FuseError('ENOENT')
    return this.node(found.nodeId)
  }

  has(parent: number, name: Buffer): boolean {
    return this.folder(parent).folder.names.has(name.toString('latin1'))
  }

  /** A node without a name. */
  make(fields: NewNode, parent: number): Node {
    this.#lastId += 1
    const now = this.now()
    const type = fields.mode & TYPE_MASK
    const node: Node = {
      ...{ id: this.#lastId, mode: fields.mode, uid: fields.uid, gid: fields.gid },
      ...{ linkCount: 0, accessedNs: now, modifiedNs: now, changedNs: now },
      ...{ device: fields.device ?? 0, attributes: new Map(), lookups: 0, openCount: 0 },
      bytes: type === FILE ? new SparseBytes() : undefined,
      target: fields.target,
      folder: type === FOLDER ? { parent, names: new Map(), lastOrder: 2 } : undefined,
    }
    this.#nodes.set(node.id, node)
    return node
  }

  /** A node under a name. In a setgid folder it gets the folder's group, and a folder is setgid too. */
  create(parent: number, name: Buffer, fields: NewNode): Node {
    const above = this.folder(parent)
    if (above.linkCount === 0) throw new FuseError('ENOENT')
    if (this.has(parent, name)) throw new FuseError('EEXIST')
    const isFolder = (fields.mode & TYPE_MASK) === FOLDER
    const inherits = (above.mode & SETGID) !== 0
    const mode = inherits && isFolder ? fields.mode | SETGID : fields.mode
    if (name.length > NAME_LIMIT_BYTES) throw new FuseError('ENAMETOOLONG')
    const node = this.make({ ...fields, mode, gid: inherits ? above.gid : fields.gid }, parent)
    if (isFolder) node.linkCount = 1 // its own "."
    this.addName(parent, name, node)
    node.accessedNs = node.modifiedNs = node.changedNs
    return node
  }

  /** A folder has one name only, and counts as a link of the folder above, for its "..". */
  addName(parent: number, name: Buffer, node: Node): void {
    if (name.length > NAME_LIMIT_BYTES) throw new FuseError('ENAMETOOLONG')
    const above = this.folder(parent)
    if (node.folder !== undefined) {
      node.folder.parent = parent
      above.linkCount += 1
    }
    above.folder.lastOrder += 1
    above.folder.names.set(name.toString('latin1'), {
      nodeId: node.id,
      order: above.folder.lastOrder,
    })
    node.linkCount += 1
    this.touchFolder(above)
    node.changedNs = above.changedNs
  }

  /** Takes a name away, and with the last one the node, unless it is still in use. */
  removeName(parent: number, name: Buffer): void {
    const node = this.takeName(parent, name)
    if (node.folder !== undefined) node.linkCount = 0
    this.dropUnused(node)
  }

  /** Takes a name away; the node is left, for another name. */
  takeName(parent: number, name: Buffer): Node {
    const above = this.folder(parent)
    const node = this.find(parent, name)
    above.folder.names.delete(name.toString('latin1'))
    this.touchFolder(above)
    node.changedNs = above.changedNs
    node.linkCount -= 1
    if (node.folder !== undefined) above.linkCount -= 1
    return node
  }

  touchFolder(folder: Node): void {
    folder.modifiedNs = folder.changedNs = this.now()
  }

  /** setuid and setgid go when somebody else writes or the owner changes; setgid that is no group's stays. */
  killPrivileges(node: Node): void {
    if ((node.mode & TYPE_MASK) !== FILE) return
    const hasGroup = (node.mode & GROUP_EXECUTE) !== 0
    node.mode &= ~(hasGroup ? PRIVILEGES : PRIVILEGES & ~SETGID)
  }

  dropUnused(node: Node): void {
    if (node.linkCount === 0 && node.openCount === 0 && node.lookups === 0) {
      this.#nodes.delete(node.id)
    }
  }

  /** Counts a lookup. */
  entry(node: Node): Entry {
    node.lookups += 1
    return {
      ...{ nodeId: node.id, generation: 0, attributes: attributesOf(node) },
      ...{ nameValidMs: VALID_MS, attributesValidMs: VALID_MS },
    }
  }
}

/** Nobody else changes anything, so the kernel may keep what it has seen. */
export const VALID_MS = 60_000

export function attributesOf(node: Node): FileAttributes {
  const sizeBytes = node.bytes?.sizeBytes ?? node.target?.length ?? 0
  return {
    ...{ inode: BigInt(node.id), sizeBytes, mode: node.mode, linkCount: node.linkCount },
    ...{ uid: node.uid, gid: node.gid, device: node.device, blockSizeBytes: BLOCK_BYTES },
    blocks: (node.bytes?.usedBytes ?? 0) / STAT_BLOCK_BYTES,
    accessedNs: node.accessedNs,
    modifiedNs: node.modifiedNs,
    changedNs: node.changedNs,
  }
}
