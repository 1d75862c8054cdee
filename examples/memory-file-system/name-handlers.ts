// Handlers of operations on names: what is created, removed, renamed and linked in the folders in memory.
import { FuseError, type Caller, type FuseHandlers } from '../../src/gridfs/gridfs.ts'
import { FOLDER, SYMLINK, type NodeStore } from './node-store.ts'

const RENAME_NOREPLACE = 1
const RENAME_EXCHANGE = 2
const ALL_PERMISSIONS = 0o777
const LINK_LIMIT = 65_000

export function nameHandlers(store: NodeStore) {
  const create = (
    parent: number,
    name: Buffer,
    fields: { mode: number; device?: number; target?: Buffer },
    { uid, gid }: Caller,
  ) => store.create(parent, copied(name), { ...fields, uid, gid })

  return {
    lookup: (parent, { name }) => store.entry(store.find(parent, name)),
    mknod: (parent, { name, mode, device }, caller) =>
      store.entry(create(parent, name, { mode, device }, caller)),
    mkdir: (parent, { name, mode }, caller) =>
      store.entry(create(parent, name, { mode: FOLDER | mode }, caller)),
    symlink(parent, { name, target }, caller) {
      const mode = SYMLINK | ALL_PERMISSIONS
      return store.entry(create(parent, name, { mode, target: Buffer.from(target) }, caller))
    },
    readlink: (id) => store.node(id).target ?? Buffer.alloc(0),
    link(parent, { oldNodeId, newName }) {
      const node = store.node(oldNodeId)
      if (store.has(parent, newName)) throw new FuseError('EEXIST')
      if (node.linkCount >= LINK_LIMIT) throw new FuseError('EMLINK')
      store.addName(parent, copied(newName), node)
      return store.entry(node)
    },
    unlink(parent, { name }) {
      if (store.find(parent, name).folder !== undefined) throw new FuseError('EISDIR')
      store.removeName(parent, name)
    },
    rmdir(parent, { name }) {
      const { folder } = store.find(parent, name)
      if (folder === undefined) throw new FuseError('ENOTDIR')
      if (folder.names.size > 0) throw new FuseError('ENOTEMPTY')
      store.removeName(parent, name)
    },
    rename: (parent, fields) => rename(store, parent, fields),
    rename2: (parent, fields) => rename(store, parent, fields),
  } satisfies FuseHandlers
}

interface Rename {
  readonly newParent: number
  readonly name: Buffer
  readonly newName: Buffer
  readonly flags: number
}

function rename(store: NodeStore, parent: number, { newParent, name, newName, flags }: Rename) {
  if ((flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE)) !== 0) throw new FuseError('EINVAL')
  const moved = store.find(parent, name)
  const isTaken = store.has(newParent, newName)
  if ((flags & RENAME_NOREPLACE) !== 0 && isTaken) throw new FuseError('EEXIST')
  if ((flags & RENAME_EXCHANGE) !== 0) {
    const other = store.takeName(newParent, newName)
    store.takeName(parent, name)
    store.addName(parent, copied(name), other)
    store.addName(newParent, copied(newName), moved)
    return
  }
  if (isTaken) {
    const replaced = store.find(newParent, newName)
    if (replaced === moved) return // two names of one file: nothing happens (rename(2))
    if (moved.folder === undefined && replaced.folder !== undefined) throw new FuseError('EISDIR')
    if (moved.folder !== undefined && replaced.folder === undefined) throw new FuseError('ENOTDIR')
    if ((replaced.folder?.names.size ?? 0) > 0) throw new FuseError('ENOTEMPTY')
    store.removeName(newParent, newName)
  }
  store.takeName(parent, name)
  store.addName(newParent, copied(newName), moved)
}

/** Names of a request are valid until it is answered; these stay. */
function copied(name: Buffer): Buffer {
  return Buffer.from(name)
}
