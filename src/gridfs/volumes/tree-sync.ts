// Makes names, attributes and content of one server those of another, path by path. What is the same is left
// alone, so that doing it again, or in another order, ends the same. Times of folders are set at the end.
import { asBuffer, errnoOf } from '../../core/core.ts'
import { joinPath, splitPath } from '../path-text.ts'
import {
  type Found,
  type WireAttributes,
  type WireChanges,
  type WireEntry,
  type WireMiss,
} from '../wire/operations.ts'
import { NO_CHANGES, syncContent, type ContentCount, type Side } from './content-sync.ts'

export interface TreeSyncOptions {
  readonly source: Side
  readonly target: Side
  /** Also what has the same size and times is compared. */
  readonly isFull: boolean
  readonly isDryRun: boolean
}

export interface SyncCount extends ContentCount {
  /** Objects that were made, removed, or got other names, attributes or content. */
  changed: number
}

const TYPE_MASK = 0o170000
const TYPE_FILE = 0o100000
const TYPE_FOLDER = 0o040000
const TYPE_SYMLINK = 0o120000
const PERMISSIONS = 0o7777
const ROOT_CALLER = { uid: 0, gid: 0 }
const ABSENT = new Set(['ENOENT', 'ENOTDIR', 'ESTALE'])

type How = 'object' | 'tree'

export class TreeSync {
  readonly count: SyncCount = { comparedBytes: 0, movedBytes: 0, changed: 0 }
  readonly #options: TreeSyncOptions
  /** Of files with several names: by the source's reference that of the target. */
  readonly #linked = new Map<string, Uint8Array>()
  /** Folders whose names were changed on the target, by path in latin1. */
  readonly #stirred = new Set<string>()

  constructor(options: TreeSyncOptions) {
    this.#options = options
  }

  async miss({ kind, path, from }: WireMiss): Promise<void> {
    if (kind === 'renamed') await this.#move(from, path)
    if (kind === 'linked') await this.#rememberLink(from)
    await this.bring(path, kind === 'object' ? 'object' : 'tree')
    if (kind === 'renamed') await this.bring(from, 'tree')
  }

  /** Makes a path, and with `tree` whatever is below, the same. */
  async bring(path: Uint8Array, how: How): Promise<void> {
    const { source, target } = this.#options
    const from = await find(source, path)
    const to = await find(target, path)
    if (from === undefined) {
      if (to !== undefined) await this.#remove(path, to)
      return
    }
    if (path.length > 0 && to === undefined) {
      const { folder } = splitPath(path)
      if ((await find(target, folder)) === undefined) await this.bring(folder, 'object')
    }
    await this.#make(path, from, { to, how })
  }

  /** Folders get the times that the making of names in them has changed. */
  async finish(): Promise<void> {
    const { source, target, isDryRun } = this.#options
    if (isDryRun) return
    for (const text of this.#stirred) {
      const path = Buffer.from(text, 'latin1')
      const [from, to] = [await find(source, path), await find(target, path)]
      if (from !== undefined && to !== undefined) await this.#setTimes(from, to)
    }
    this.#stirred.clear()
  }

  async #make(
    path: Uint8Array,
    from: Found,
    { to, how }: { readonly to: Found | undefined; readonly how: How },
  ): Promise<void> {
    const { isDryRun } = this.#options
    let present = to
    if (present !== undefined && !(await this.#isSameThing(from, present))) {
      await this.#remove(path, present)
      present = undefined
    }
    const isNew = present === undefined
    if (isNew) {
      this.count.changed += 1
      if (isDryRun) return this.#countNew(path, from)
      present = await this.#create(path, from)
    }
    if (present === undefined) return
    if (isOfSeveralNames(from)) this.#linked.set(keyOf(from), present.reference)
    const isQuick = how === 'tree' && !isNew && !this.#options.isFull && isAlike(from, present)
    const type = from.attributes.mode & TYPE_MASK
    if (type === TYPE_FILE && !isQuick) {
      await syncContent(this.#options, { from, to: present }, this.count)
    }
    if (type === TYPE_FOLDER && (how === 'tree' || isNew))
      await this.#bringNames(path, from, present)
    if (!isQuick) await this.#setAttributes(from, present)
  }

  async #bringNames(path: Uint8Array, from: Found, to: Found): Promise<void> {
    const { source, target } = this.#options
    const [wanted, present] = await Promise.all([names(source, from), names(target, to)])
    for (const [name, entry] of present) {
      if (wanted.has(name) || entry.found === undefined) continue
      await this.#remove(joinPath(path, entry.name), entry.found)
    }
    for (const [name, entry] of wanted) {
      if (entry.found === undefined) continue
      const inTarget = present.get(name)?.found
      await this.#make(joinPath(path, entry.name), entry.found, { to: inTarget, how: 'tree' })
    }
  }

  /** Whether the target's needs no other object: what cannot be changed is the same. */
  async #isSameThing(from: Found, to: Found): Promise<boolean> {
    const { source, target } = this.#options
    const [a, b] = [from.attributes, to.attributes]
    if ((a.mode & TYPE_MASK) !== (b.mode & TYPE_MASK) || a.device !== b.device) return false
    const other = this.#linked.get(keyOf(from))
    if (other !== undefined && !asBuffer(other).equals(to.reference)) return false
    if ((a.mode & TYPE_MASK) !== TYPE_SYMLINK) return true
    const [wanted, present] = await Promise.all([
      source.ask('readlink', { reference: from.reference }),
      target.ask('readlink', { reference: to.reference }),
    ])
    return asBuffer(wanted.reply).equals(present.reply)
  }

  async #create(path: Uint8Array, from: Found): Promise<Found | undefined> {
    const { source, target } = this.#options
    const { folder, name } = splitPath(path)
    const parent = (await find(target, folder))?.reference
    if (parent === undefined) return undefined // removed on the source meanwhile: noted there
    this.#stirred.add(folder.toString('latin1'))
    const { mode, device } = from.attributes
    const linked = this.#linked.get(keyOf(from))
    if (linked !== undefined) {
      const request = { reference: linked, newParent: parent, newName: name }
      return (await target.ask('link', request)).reply
    }
    const made = { parent, name, caller: ROOT_CALLER }
    switch (mode & TYPE_MASK) {
      case TYPE_FOLDER:
        return (await target.ask('mkdir', { ...made, mode: mode & PERMISSIONS })).reply
      case TYPE_SYMLINK: {
        const { reply } = await source.ask('readlink', { reference: from.reference })
        return (await target.ask('symlink', { ...made, target: reply })).reply
      }
      default:
        return (await target.ask('mknod', { ...made, mode, device })).reply
    }
  }

  async #setAttributes(from: Found, to: Found): Promise<void> {
    const { source, target, isDryRun } = this.#options
    const now = (await target.ask('getattr', { reference: to.reference })).reply
    const { mode, uid, gid } = from.attributes
    const isOther = now.uid !== uid || now.gid !== gid || now.mode !== mode
    if (isOther || now.modifiedNs !== from.attributes.modifiedNs) this.count.changed += 1
    if (isDryRun) return
    const isSymlink = (mode & TYPE_MASK) === TYPE_SYMLINK
    const set = (changes: Partial<WireChanges>) =>
      target.ask('setattr', {
        ...{ reference: to.reference, caller: ROOT_CALLER },
        changes: { ...NO_CHANGES, ...changes },
      })
    if (now.uid !== uid || now.gid !== gid) await set({ uid, gid })
    if (!isSymlink) {
      await syncXattrs({ source, target }, from, to)
      if (isOther) await set({ mode: mode & PERMISSIONS })
    }
    await this.#setTimes(from, to)
  }

  async #setTimes({ attributes }: Found, { reference }: Found): Promise<void> {
    const { accessedNs, modifiedNs } = attributes
    await this.#options.target.ask('setattr', {
      ...{ reference, caller: ROOT_CALLER },
      changes: {
        ...NO_CHANGES,
        accessed: { isNow: false, timeNs: accessedNs },
        modified: { isNow: false, timeNs: modifiedNs },
      },
    })
  }

  async #remove(path: Uint8Array, present: Found): Promise<void> {
    const { target, isDryRun } = this.#options
    const isFolder = (present.attributes.mode & TYPE_MASK) === TYPE_FOLDER
    if (isFolder) {
      for (const entry of (await names(target, present)).values()) {
        if (entry.found !== undefined) await this.#remove(joinPath(path, entry.name), entry.found)
      }
    }
    this.count.changed += 1
    const { folder, name } = splitPath(path)
    if (isDryRun || name.length === 0) return
    const parent = await find(target, folder)
    if (parent === undefined) return
    this.#stirred.add(folder.toString('latin1'))
    await target.ask(isFolder ? 'rmdir' : 'unlink', { parent: parent.reference, name })
  }

  /** What was renamed is renamed, when the target still has it under its old name only. */
  async #move(from: Uint8Array, to: Uint8Array): Promise<void> {
    const { source, target, isDryRun } = this.#options
    const [old, fresh] = [splitPath(from), splitPath(to)]
    const [wanted, present] = await Promise.all([find(source, to), find(target, from)])
    if (wanted === undefined || present === undefined || isDryRun) return
    if ((await find(source, from)) !== undefined || (await find(target, to)) !== undefined) return
    if (!isAlike(wanted, present)) return
    await this.bring(fresh.folder, 'object')
    const [parent, newParent] = [await find(target, old.folder), await find(target, fresh.folder)]
    if (parent === undefined || newParent === undefined) return
    this.count.changed += 1
    for (const { folder } of [old, fresh]) this.#stirred.add(folder.toString('latin1'))
    const request = { name: old.name, newName: fresh.name, flags: 0 }
    await target.ask('rename', {
      ...{ ...request, parent: parent.reference, newParent: newParent.reference },
    })
  }

  async #rememberLink(path: Uint8Array): Promise<void> {
    const { source, target } = this.#options
    const [from, to] = await Promise.all([find(source, path), find(target, path)])
    if (from !== undefined && to !== undefined) this.#linked.set(keyOf(from), to.reference)
  }

  /** What a dry run would have to move for something that is not there. */
  async #countNew(path: Uint8Array, from: Found): Promise<void> {
    const { mode, blocks, sizeBytes } = from.attributes
    if ((mode & TYPE_MASK) === TYPE_FILE) {
      this.count.movedBytes += Math.min(blocks * 512, sizeBytes)
    }
    if ((mode & TYPE_MASK) !== TYPE_FOLDER) return
    for (const { found, name } of (await names(this.#options.source, from)).values()) {
      if (found === undefined) continue
      this.count.changed += 1
      await this.#countNew(joinPath(path, name), found)
    }
  }
}

/** Makes paths on all sides as they are on the first. */
export async function reconcilePaths(
  paths: readonly Uint8Array[],
  [source, ...targets]: readonly Side[],
): Promise<void> {
  if (source === undefined) return
  for (const target of targets) {
    const sync = new TreeSync({ source, target, isFull: false, isDryRun: false })
    for (const path of paths) await sync.bring(path, path.length === 0 ? 'tree' : 'object')
    await sync.finish()
  }
}

async function find(side: Side, path: Uint8Array): Promise<Found | undefined> {
  try {
    return (await side.ask('resolve', { path })).reply
  } catch (error) {
    if (ABSENT.has(errnoOf(error) ?? '')) return undefined
    throw error
  }
}

async function names(side: Side, { reference }: Found): Promise<ReadonlyMap<string, WireEntry>> {
  const found = new Map<string, WireEntry>()
  for (let position = 0n; ;) {
    const request = { reference, position, hasAttributes: true }
    const { entries, next } = (await side.ask('readdir', request)).reply
    if (entries.length === 0) return found
    for (const entry of entries) found.set(asBuffer(entry.name).toString('latin1'), entry)
    position = next
  }
}

async function syncXattrs(
  { source, target }: { readonly source: Side; readonly target: Side },
  from: Found,
  to: Found,
): Promise<void> {
  const [wanted, present] = await Promise.all([xattrs(source, from), xattrs(target, to)])
  const { reference } = to
  for (const [text, value] of wanted) {
    if (present.get(text)?.equals(value) === true) continue
    await target.ask('setxattr', { reference, name: Buffer.from(text, 'latin1'), value, flags: 0 })
  }
  for (const text of present.keys()) {
    if (wanted.has(text)) continue
    await target.ask('removexattr', { reference, name: Buffer.from(text, 'latin1') })
  }
}

async function xattrs(side: Side, { reference }: Found): Promise<ReadonlyMap<string, Buffer>> {
  const { reply } = await side.ask('listxattr', { reference })
  const values = new Map<string, Buffer>()
  for (const text of asBuffer(reply).toString('latin1').split('\0').slice(0, -1)) {
    const name = Buffer.from(text, 'latin1')
    values.set(text, asBuffer((await side.ask('getxattr', { reference, name })).reply))
  }
  return values
}

/** As far as attributes tell: every change of a mirror has its own time. */
function isAlike({ attributes: a }: Found, { attributes: b }: Found): boolean {
  const key = ({ mode, uid, gid, sizeBytes, modifiedNs }: WireAttributes) =>
    [mode, uid, gid, (mode & TYPE_MASK) === TYPE_FOLDER ? 0 : sizeBytes, modifiedNs].join()
  return key(a) === key(b)
}

function isOfSeveralNames({ attributes }: Found): boolean {
  return (attributes.mode & TYPE_MASK) !== TYPE_FOLDER && attributes.linkCount > 1
}

function keyOf({ reference }: Found): string {
  return asBuffer(reference).toString('latin1')
}
