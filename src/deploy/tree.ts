// The parts of the tree that are not file data: directories before it, everything else after it.
// Symlinks are made only when all data is written, directories get their metadata last and deepest
// first. Every step may be repeated on a tree where it was done before. Synchronous: a worker's task.
import { closeSync, constants, fstatSync, ftruncateSync, linkSync, lstatSync } from 'node:fs'
import { mkdirSync, openSync, symlinkSync, unlinkSync } from 'node:fs'
import { errnoOf, formatBytesForPeople, SiError } from '../core/core.ts'
import { mknod } from '../host/host.ts'
import { setFileMetadata, setPathMetadata, type NoteLoss } from './entry-metadata.ts'
import { entryDetails, entryKind, entryPath, type EntryTable } from './entry-table.ts'
import { onEntry } from './target-error.ts'
import { joinPath, withUsablePath } from './target-path.ts'

const DIRECTORY_MODE = 0o700
const FILE_MODE = 0o600
const { O_CREAT, O_NOFOLLOW, O_WRONLY, S_IFBLK, S_IFCHR, S_IFIFO } = constants

/** Makes all directories, closed to everybody but root until they are finished. */
export function createDirectories(root: Buffer, table: EntryTable): void {
  for (let entry = 0; entry < table.count; entry++) {
    const path = entryPath(table, entry)
    if (entryKind(table, entry) !== 'directory' || path.length === 0) continue
    onEntry(table, entry, () => withUsablePath(joinPath(root, path), makeDirectory))
  }
}

export interface FinishOptions {
  readonly root: Buffer
  readonly table: EntryTable
  readonly isFinished: Uint8Array
  readonly noteLoss: NoteLoss
  /** Device nodes, and hard links to them, are left out. */
  readonly withoutDevices?: boolean
}

interface Finishing extends FinishOptions {
  /** Paths of objects that the target could not hold, as latin1 text. */
  readonly lost: Set<string>
}

/** Everything but the directories' metadata: what is left of files, then symlinks, nodes, hard links. */
export function finishObjects(options: FinishOptions): void {
  const { root, table, isFinished } = options
  const each = (act: (path: Buffer, entry: number) => void, wanted: (entry: number) => boolean) => {
    for (let entry = 0; entry < table.count; entry++) {
      if (!wanted(entry)) continue
      const path = joinPath(root, entryPath(table, entry))
      onEntry(table, entry, () => withUsablePath(path, (usable) => act(usable, entry)))
    }
  }
  const finishing: Finishing = { ...options, lost: new Set() }
  const devices = options.withoutDevices === true ? findDevices(table) : undefined
  const isLeftOut = (entry: number) => devices?.has(entry) === true
  each(
    (path, entry) => finishFile(path, entry, options),
    (entry) => entryKind(table, entry) === 'file' && isFinished[entry] !== 1,
  )
  each(
    (path, entry) => makeSpecial(path, entry, finishing),
    (entry) => SPECIAL.has(entryKind(table, entry)) && !isLeftOut(entry),
  )
  each(
    (path, entry) => makeHardLink(path, entry, finishing),
    (entry) => entryKind(table, entry) === 'hardlink' && !isLeftOut(entry),
  )
}

/** Owner, mode, attributes and time of every directory but the root; children before parents. */
export function finishDirectories(options: FinishOptions): void {
  const { root, table, noteLoss } = options
  for (let entry = table.count - 1; entry >= 0; entry--) {
    const path = entryPath(table, entry)
    if (entryKind(table, entry) !== 'directory' || path.length === 0) continue
    onEntry(table, entry, () =>
      withUsablePath(joinPath(root, path), (usable) =>
        setPathMetadata(usable, { table, entry }, noteLoss),
      ),
    )
  }
}

/** The root directory's own metadata, once nothing more is created or removed in it. */
export function finishRoot(options: FinishOptions): void {
  const { root, table, noteLoss } = options
  for (let entry = 0; entry < table.count; entry++) {
    if (table.pathStart[entry] !== table.pathStart[entry + 1]) continue
    onEntry(table, entry, () => setPathMetadata(root, { table, entry }, noteLoss))
    return
  }
}

const REFUSALS: ReadonlySet<string> = new Set(['EPERM', 'EINVAL', 'EMLINK'])

const SPECIAL: ReadonlySet<string> = new Set(['symlink', 'character', 'block', 'fifo'])

/** Device nodes and all hard links to them. */
export function findDevices(table: EntryTable): ReadonlySet<number> {
  const devices = new Set<number>()
  const paths = new Set<string>()
  for (let entry = 0; entry < table.count; entry++) {
    const kind = entryKind(table, entry)
    const isLink = kind === 'hardlink' && paths.size > 0
    const target = isLink ? entryDetails(table, entry).linkTarget.toString('latin1') : ''
    if (kind !== 'character' && kind !== 'block' && !paths.has(target)) continue
    devices.add(entry)
    paths.add(entryPath(table, entry).toString('latin1'))
  }
  return devices
}

function makeDirectory(path: Buffer): void {
  unlessExists(
    () => mkdirSync(path, DIRECTORY_MODE),
    () => {
      if (!lstatSync(path).isDirectory()) throw unexpectedObject(path)
    },
  )
}

function finishFile(path: Buffer, entry: number, options: FinishOptions): void {
  const { table, noteLoss, isFinished } = options
  const sizeBytes = table.sizes[entry] ?? 0
  const isHole = sizeBytes > 0 && table.isSparse[entry] === 1
  const flags = O_WRONLY | O_NOFOLLOW | (sizeBytes === 0 || isHole ? O_CREAT : 0)
  const fd = openSync(path, flags, FILE_MODE)
  try {
    const { size } = fstatSync(fd)
    // A finishing that was interrupted has made some files longer; all that the image has of them is there.
    if (isHole || size > sizeBytes) ftruncateSync(fd, sizeBytes)
    else if (size < sizeBytes) throw unexpectedObject(path)
    setFileMetadata(fd, { table, entry }, noteLoss)
    isFinished[entry] = 1
  } finally {
    closeSync(fd)
  }
}

function makeSpecial(path: Buffer, entry: number, options: Finishing): void {
  const { table, noteLoss } = options
  const kind = entryKind(table, entry)
  const { linkTarget, deviceMajor, deviceMinor } = entryDetails(table, entry)
  const make = () => {
    if (kind === 'symlink') symlinkSync(linkTarget, path)
    else
      mknod(path, FILE_MODE | TYPE_BITS[kind as keyof typeof TYPE_BITS], deviceMajor, deviceMinor)
  }
  if (isPossible(() => replacing(path, make))) {
    setPathMetadata(path, { table, entry }, noteLoss)
    return
  }
  noteLoss(kind === 'symlink' ? 'symlink' : 'node', entry)
  options.lost.add(entryPath(table, entry).toString('latin1'))
}

const TYPE_BITS = { character: S_IFCHR, block: S_IFBLK, fifo: S_IFIFO }

function makeHardLink(path: Buffer, entry: number, options: Finishing): void {
  const { linkTarget } = entryDetails(options.table, entry)
  const target = joinPath(options.root, linkTarget)
  const isLost = options.lost.has(linkTarget.toString('latin1'))
  const isMade =
    !isLost &&
    isPossible(() =>
      withUsablePath(target, (usable) => replacing(path, () => linkSync(usable, path))),
    )
  if (!isMade) options.noteLoss('hardlink', entry)
}

/** vfat and containers refuse some kinds of objects; xfs large device numbers; all too many links. */
function isPossible(make: () => void): boolean {
  try {
    make()
    return true
  } catch (error) {
    if (REFUSALS.has(errnoOf(error) ?? '')) return false
    throw error
  }
}

/** An object left by an earlier run of the same image is made anew. */
function replacing(path: Buffer, make: () => void): void {
  unlessExists(make, () => {
    unlinkSync(path)
    make()
  })
}

function unlessExists(make: () => void, otherwise: () => void): void {
  try {
    make()
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error
    otherwise()
  }
}

function unexpectedObject(path: Buffer): SiError {
  return new SiError(
    'ERR_SI_DEPLOY',
    `Cannot go on: ${formatBytesForPeople(path)} is not as the interrupted deployment left it`,
    { hint: 'Empty the target and deploy again' },
  )
}
