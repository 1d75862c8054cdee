// Mount points come from the layout, directories from the manifest; the two must not contradict each other.
import { formatBytesForPeople, SiError } from '../../core/core.ts'
import { entryKind, entryPath, type EntryTable } from '../entry-table.ts'

const SLASH = 0x2f

/**
 * Throws ERR_SI_MANIFEST_FORMAT when a mount point (`/srv/data`), or a directory on the way to it, is
 * something else than a directory in the image.
 */
export function checkMountPoints(table: EntryTable, mountPoints: readonly string[]): void {
  const targets = mountPoints.map((mountPoint) => Buffer.from(mountPoint.slice(1)))
  for (let entry = 0; entry < table.count; entry++) {
    if (entryKind(table, entry) === 'directory') continue
    const path = entryPath(table, entry)
    if (!targets.some((target) => leadsTo(path, target))) continue
    throw new SiError(
      'ERR_SI_MANIFEST_FORMAT',
      `Cannot use disk layout: "${formatBytesForPeople(path)}" is on the way to a mount point and no directory`,
    )
  }
}

function leadsTo(path: Buffer, target: Buffer): boolean {
  if (!target.subarray(0, path.length).equals(path)) return false
  return target.length === path.length || target[path.length] === SLASH
}
