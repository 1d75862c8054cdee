// Where the entries of an override belong in a tree that is there already. A directory of the override that meets a
// link to a directory goes where the link leads, as /lib does in today's systems; everything else replaces what is in
// its place. Invariant: every path is one below the root without a symbolic link in front of its last part, whatever
// links the tree holds: those that lead out of it are followed as in a chroot. Synchronous, before anything is written.
import { rmSync, unlinkSync, type Stats } from 'node:fs'
import { formatBytesForPeople, SiError } from '../core/core.ts'
import {
  encodeDetails,
  entryDetails,
  entryKind,
  entryPath,
  type EntryTable,
} from './entry-table.ts'
import { JOURNAL_NAME } from './journal.ts'
import { SPILL_NAME } from './piece-cache.ts'
import { resolveBelow, statusOf } from './resolve-below.ts'
import { joinPath, withUsablePath } from './target-path.ts'

const RESERVED: ReadonlySet<string> = new Set([JOURNAL_NAME, SPILL_NAME])

/** The same entries with paths as they are in the tree below `root`. Throws ERR_SI_UNSAFE_PATH. */
export function overlayTable(root: Buffer, table: EntryTable): EntryTable {
  const places = new Map<string, string>([['', '']])
  const taken = new Map<string, boolean>()
  for (let entry = 0; entry < table.count; entry++) {
    const path = latin1(entryPath(table, entry))
    if (path === '') continue
    const isDirectory = entryKind(table, entry) === 'directory'
    const slash = path.lastIndexOf('/')
    const parent = places.get(path.slice(0, Math.max(0, slash))) ?? ''
    const plain = parent === '' ? path.slice(slash + 1) : `${parent}/${path.slice(slash + 1)}`
    const place = isDirectory ? directoryPlace(root, plain) : plain
    const isDouble = taken.has(place) && !(isDirectory && taken.get(place) === true)
    if (isDouble || RESERVED.has(place)) throw doubled(path, place)
    taken.set(place, isDirectory)
    places.set(path, place)
  }
  return withPaths(table, places)
}

/** Takes away what would be written through or into: all but directories that stay directories. */
export function makeWay(root: Buffer, table: EntryTable): void {
  for (let entry = 0; entry < table.count; entry++) {
    const path = entryPath(table, entry)
    const isDirectory = entryKind(table, entry) === 'directory'
    if (path.length === 0) continue
    withUsablePath(joinPath(root, path), (usable) => {
      const found = statusOf(usable)
      if (found === undefined || (isDirectory && found.isDirectory())) return
      if (found.isDirectory()) rmSync(usable, { recursive: true })
      else unlinkSync(usable)
    })
  }
}

/** Where a directory goes: through links when they lead to a directory, in their place otherwise. */
function directoryPlace(root: Buffer, path: string): string {
  if (statusBelow(root, path)?.isSymbolicLink() !== true) return path
  const place = resolveBelow(root, path)
  const isDirectory = place !== undefined && statusBelow(root, place)?.isDirectory() === true
  return isDirectory ? place : path
}

function withPaths(table: EntryTable, places: ReadonlyMap<string, string>): EntryTable {
  const placeOf = (path: Buffer) => Buffer.from(places.get(latin1(path)) ?? latin1(path), 'latin1')
  const paths: Buffer[] = []
  const details: Uint8Array[] = []
  for (let entry = 0; entry < table.count; entry++) {
    paths.push(placeOf(entryPath(table, entry)))
    const own = entryDetails(table, entry)
    const isLink = entryKind(table, entry) === 'hardlink'
    const [start = 0, end = 0] = table.detailStart.subarray(entry, entry + 2)
    details.push(
      isLink
        ? encodeDetails({ ...own, linkTarget: placeOf(own.linkTarget) })
        : table.details.subarray(start, end),
    )
  }
  const [allPaths, pathStart] = pack(paths)
  const [allDetails, detailStart] = pack(details)
  return { ...table, paths: allPaths, pathStart, details: allDetails, detailStart }
}

/** All parts one after the other, and where each begins, in memory that threads share. */
function pack(parts: readonly Uint8Array[]): readonly [Uint8Array, Uint32Array] {
  const totalBytes = parts.reduce((sum, { length }) => sum + length, 0)
  const bytes = new Uint8Array(new SharedArrayBuffer(totalBytes))
  const starts = new Uint32Array(new SharedArrayBuffer(4 * (parts.length + 1)))
  let at = 0
  for (const [index, part] of parts.entries()) {
    bytes.set(part, at)
    at += part.length
    starts[index + 1] = at
  }
  return [bytes, starts]
}

function statusBelow(root: Buffer, path: string): Stats | undefined {
  return withUsablePath(joinPath(root, Buffer.from(path, 'latin1')), statusOf)
}

function doubled(path: string, place: string): SiError {
  const shown = (text: string) => formatBytesForPeople(Buffer.from(text, 'latin1'))
  const message = `Cannot lay the override over the tree: ${shown(path)} lies at ${shown(place)} there, which is taken`
  return new SiError('ERR_SI_UNSAFE_PATH', message, {
    hint: 'Name each file of the override by the path at which it really lies',
  })
}

function latin1(bytes: Buffer): string {
  return bytes.toString('latin1')
}
