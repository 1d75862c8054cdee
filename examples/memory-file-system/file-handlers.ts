// Handlers of operations on open files and folders in memory, on attributes and extended attributes.
import {
  DirectoryBuffer,
  FuseError,
  LockTable,
  type Caller,
  type DirectoryName,
  type ExtendedAttributeReply,
  type FuseHandlers,
} from '../../src/gridfs/gridfs.ts'
import { attributesOf, FILE, VALID_MS, type Node, type NodeStore } from './node-store.ts'

const O_TRUNC = 0o1000
const KEEP_SIZE = 1 // FALLOC_FL_…
const PUNCH_HOLE = 2
const ZERO_RANGE = 16
const SEEK_DATA = 3
const XATTR_CREATE = 1
const XATTR_REPLACE = 2
const LIMIT_BYTES = 2 ** 40
const NS_PER_DAY = 86_400_000_000_000n
const OPENED = { handle: 0, keepsCache: true } // the node is all there is to know

export function fileHandlers(store: NodeStore) {
  const bytesOf = (id: number) => {
    const { bytes } = store.node(id)
    if (bytes === undefined) throw new FuseError('EISDIR')
    return bytes
  }
  const touch = (node: Node) => {
    node.modifiedNs = node.changedNs = store.now()
  }
  const open = (node: Node, flags: number, killsPrivileges: boolean) => {
    if ((flags & O_TRUNC) !== 0) {
      node.bytes?.resize(0)
      if (killsPrivileges) store.killPrivileges(node)
      touch(node)
    }
    node.openCount += 1
    return OPENED
  }
  const release = (id: number) => {
    const node = store.node(id)
    node.openCount -= 1
    store.dropUnused(node)
  }
  return {
    create(parent, { name, mode, flags }, { uid, gid }: Caller) {
      const node = store.create(parent, Buffer.from(name), { mode: FILE | mode, uid, gid })
      return { entry: store.entry(node), opened: open(node, flags & ~O_TRUNC, false) }
    },
    tmpfile(parent, { mode }, { uid, gid }) {
      const node = store.make({ mode: FILE | mode, uid, gid }, parent)
      return { entry: store.entry(node), opened: open(node, 0, false) }
    },
    open: (id, { flags, killsPrivileges }) => open(store.node(id), flags, killsPrivileges),
    opendir: (id) => open(store.node(id), 0, false),
    releasedir: release,
    fsync: () => {},
    fsyncdir: () => {},
    read(id, { offset, sizeBytes }) {
      readAt(store, store.node(id))
      return bytesOf(id).read(offset, sizeBytes)
    },
    write(id, { offset, data, killsPrivileges }) {
      if (offset + data.length > LIMIT_BYTES) throw new FuseError('EFBIG')
      bytesOf(id).write(offset, data)
      if (killsPrivileges) store.killPrivileges(store.node(id))
      touch(store.node(id))
      return data.length
    },
    fallocate(id, { offset, lengthBytes, mode }) {
      const bytes = bytesOf(id)
      const end = offset + lengthBytes
      const keepsSize = (mode & KEEP_SIZE) !== 0
      if ((mode & ~(KEEP_SIZE | PUNCH_HOLE | ZERO_RANGE)) !== 0) throw new FuseError('EOPNOTSUPP')
      if (end > LIMIT_BYTES) throw new FuseError('EFBIG')
      if (!keepsSize && end > bytes.sizeBytes) bytes.resize(end)
      if ((mode & (PUNCH_HOLE | ZERO_RANGE)) !== 0)
        bytes.clear(offset, Math.min(end, bytes.sizeBytes))
      else bytes.allocate(offset, Math.min(end, bytes.sizeBytes))
      touch(store.node(id))
    },
    lseek(id, { offset, whence }) {
      const found = bytesOf(id).seek(offset, whence === SEEK_DATA ? 'data' : 'hole')
      if (found === undefined) throw new FuseError('ENXIO')
      return found
    },
    copyFileRange(id, { offset, toNodeId, toOffset, lengthBytes }) {
      const data = bytesOf(id).read(offset, Math.min(lengthBytes, COPY_BYTES))
      bytesOf(toNodeId).write(toOffset, data)
      touch(store.node(toNodeId))
      return data.length
    },
    readdir(id, { offset, sizeBytes }) {
      const buffer = new DirectoryBuffer(sizeBytes)
      for (const { name } of namesOf(store, id, offset)) if (!buffer.add(name)) break
      return buffer
    },
    readdirplus(id, { offset, sizeBytes }) {
      const buffer = new DirectoryBuffer(sizeBytes)
      for (const { name, node } of namesOf(store, id, offset)) {
        const entry = node === undefined ? undefined : store.entry(node)
        if (buffer.addWithEntry(name, entry)) continue
        if (node !== undefined) node.lookups -= 1
        break
      }
      return buffer
    },
    getattr: (id) => ({ attributes: attributesOf(store.node(id)), validMs: VALID_MS }),
    setattr(id, { changes }) {
      const node = store.node(id)
      if ((changes.sizeBytes ?? 0) > LIMIT_BYTES) throw new FuseError('EFBIG')
      if (changes.sizeBytes !== undefined) {
        bytesOf(id).resize(changes.sizeBytes)
        touch(node)
      }
      const now = store.now()
      if (changes.uid !== undefined || changes.gid !== undefined || changes.killsPrivileges) {
        store.killPrivileges(node)
      }
      node.mode = changes.mode ?? node.mode
      node.uid = changes.uid ?? node.uid
      node.gid = changes.gid ?? node.gid
      const time = (value: bigint | 'now') => (value === 'now' ? now : value)
      if (changes.accessedNs !== undefined) node.accessedNs = time(changes.accessedNs)
      if (changes.modifiedNs !== undefined) node.modifiedNs = time(changes.modifiedNs)
      node.changedNs = now
      return { attributes: attributesOf(node), validMs: VALID_MS }
    },
    statfs: () => ({
      ...{ blocks: 2 ** 20, freeBlocks: 2 ** 19, availableBlocks: 2 ** 19 },
      ...{ files: store.count + 2 ** 20, freeFiles: 2 ** 20, maximumNameBytes: 255 },
      ...{ blockSizeBytes: 4096, fragmentSizeBytes: 4096 },
    }),
    ...extendedAttributeHandlers(store),
    ...lockHandlers(release),
  } satisfies FuseHandlers
}

const NAMESPACES = /^(user|trusted|security)\../
const COPY_BYTES = 2 ** 24

/** Locks of processes end when any of their descriptors is closed, those of flock with the open file. */
function lockHandlers(release: (id: number) => void) {
  const locks = new LockTable()
  const key = (id: number, isFlock: boolean) => `${isFlock ? 'flock' : 'range'} ${id}`
  return {
    getlk(id, { owner, lock, isFlock }) {
      const request = { owner: `${owner}`, lock }
      return locks.conflict(key(id, isFlock), request) ?? { ...lock, type: 'unlock' as const }
    },
    setlk: (id, { owner, lock, isFlock }) =>
      locks.set(key(id, isFlock), { owner: `${owner}`, lock }),
    setlkw: (id, { owner, lock, isFlock }, { signal }) =>
      locks.wait(key(id, isFlock), { owner: `${owner}`, lock }, signal),
    flush: (id, { lockOwner }) => locks.release(key(id, false), `${lockOwner}`),
    release(id: number, { unlocksFlock, lockOwner }) {
      if (unlocksFlock) locks.release(key(id, true), `${lockOwner}`)
      release(id)
    },
  } satisfies FuseHandlers
}

function extendedAttributeHandlers(store: NodeStore) {
  const sized = (value: Buffer, sizeBytes: number): ExtendedAttributeReply => {
    if (sizeBytes === 0) return { sizeBytes: value.length }
    if (value.length > sizeBytes) throw new FuseError('ERANGE')
    return value
  }
  return {
    setxattr(id, { name, value, flags }) {
      const node = store.node(id)
      const key = name.toString('latin1')
      if (!NAMESPACES.test(key)) throw new FuseError('ENOTSUP')
      if (flags === XATTR_CREATE && node.attributes.has(key)) throw new FuseError('EEXIST')
      if (flags === XATTR_REPLACE && !node.attributes.has(key)) throw new FuseError('ENODATA')
      node.attributes.set(key, Buffer.from(value))
      node.changedNs = store.now()
    },
    getxattr(id, { name, sizeBytes }) {
      const value = store.node(id).attributes.get(name.toString('latin1'))
      if (value === undefined) throw new FuseError('ENODATA')
      return sized(value, sizeBytes)
    },
    listxattr(id, { sizeBytes }) {
      const names = [...store.node(id).attributes.keys()].map((name) => `${name}\0`)
      return sized(Buffer.from(names.join(''), 'latin1'), sizeBytes)
    },
    removexattr(id, { name }) {
      const node = store.node(id)
      if (!node.attributes.delete(name.toString('latin1'))) throw new FuseError('ENODATA')
      node.changedNs = store.now()
    },
  } satisfies FuseHandlers
}

/** As `relatime`: once a day, or when the file has changed since. */
function readAt(store: NodeStore, node: Node): void {
  const now = store.now()
  const isOld = now - node.accessedNs > NS_PER_DAY
  if (isOld || node.accessedNs <= node.modifiedNs || node.accessedNs <= node.changedNs) {
    node.accessedNs = now
  }
}

/** "." and ".." have the first two offsets; names go on behind the order of the last one seen. */
function* namesOf(
  store: NodeStore,
  id: number,
  offset: number,
): Generator<{ readonly name: DirectoryName; readonly node: Node | undefined }> {
  const { folder, mode } = store.folder(id)
  const dots = [
    { text: '.', inode: id },
    { text: '..', inode: folder.parent },
  ]
  for (const [index, { text, inode }] of dots.entries()) {
    if (offset > index) continue
    const name = {
      name: Buffer.from(text),
      inode: BigInt(inode),
      type: mode,
      nextOffset: index + 1,
    }
    yield { name, node: undefined }
  }
  for (const [text, { nodeId, order }] of folder.names) {
    if (order <= offset) continue
    const node = store.node(nodeId)
    const name = Buffer.from(text, 'latin1')
    yield { name: { name, inode: BigInt(nodeId), type: node.mode, nextOffset: order }, node }
  }
}
