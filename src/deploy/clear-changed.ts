// A deployment that was interrupted late has changed the tree already: overrides, the finishing and scripts put links,
// files and directories where the image has something else. What is in the way is taken away before the image's pieces
// are looked at again; what is lost by that is missing then, and fetched. Invariant: afterwards every path of the image leads through
// directories alone, and no two files of it share an inode unless the image says so. Synchronous: a worker's task.
import { rmSync, unlinkSync, type Stats } from 'node:fs'
import { entryDetails, entryKind, entryPath, type EntryTable } from './entry-table.ts'
import { statusOf } from './resolve-below.ts'
import { joinPath, withUsablePath } from './target-path.ts'

/** Parents come before what is in them, so that a link in place of a directory is gone before it is looked through. */
export function clearChanged(root: Buffer, table: EntryTable): void {
  const links = countLinks(table)
  const seen = new Set<string>()
  for (let entry = 0; entry < table.count; entry++) {
    const path = entryPath(table, entry)
    if (path.length === 0) continue
    withUsablePath(joinPath(root, path), (usable) => {
      const found = statusOf(usable)
      if (found === undefined) return
      const kind = entryKind(table, entry)
      const mayHave = 1 + (links.get(path.toString('latin1')) ?? 0)
      if (kind === 'file' && isOwnFile(found, mayHave, seen)) return
      if (found.isDirectory()) {
        if (kind !== 'directory') rmSync(usable, { recursive: true })
      } else if (kind === 'directory' || kind === 'file') unlinkSync(usable)
    })
  }
}

/** How many hard links the image has to each file. */
function countLinks(table: EntryTable): ReadonlyMap<string, number> {
  const links = new Map<string, number>()
  for (let entry = 0; entry < table.count; entry++) {
    if (entryKind(table, entry) !== 'hardlink') continue
    const target = entryDetails(table, entry).linkTarget.toString('latin1')
    links.set(target, (links.get(target) ?? 0) + 1)
  }
  return links
}

/** A file that others share would be written into them, too. */
function isOwnFile(found: Stats, mayHave: number, seen: Set<string>): boolean {
  if (!found.isFile() || found.nlink > mayHave) return false
  if (found.nlink === 1) return true
  const inode = `${found.dev}:${found.ino}`
  const isFirst = !seen.has(inode)
  seen.add(inode)
  return isFirst
}
