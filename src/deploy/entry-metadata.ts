// Owner, mode, extended attributes and times of one entry, in the only order that works: a change of
// owner clears setuid bits and capabilities, a change of mode would rewrite an ACL's mask, and every
// change but the last would move the time.
import { chmodSync, fchmodSync, fchownSync, lchownSync } from 'node:fs'
import { errnoOf } from '../core/core.ts'
import { fsetxattr, futimens, lsetxattr, utimensat } from '../host/host.ts'
import {
  entryDetails,
  entryKind,
  entryMtimeNs,
  type EntryDetails,
  type EntryTable,
} from './entry-table.ts'

/** Receives a remark about what the target's file system cannot keep. */
export type NoteLoss = (attribute: string) => void

/** Gives an open regular file its metadata; its data must be complete. */
export function setFileMetadata(
  fd: number,
  file: { readonly table: EntryTable; readonly entry: number },
  noteLoss: NoteLoss,
): void {
  const { table, entry } = file
  fchownSync(fd, table.uids[entry] ?? 0, table.gids[entry] ?? 0)
  fchmodSync(fd, table.modes[entry] ?? 0)
  for (const { name, value } of wantedXattrs(table, entry)) {
    tolerateUnsupported(name, noteLoss, () => fsetxattr(fd, name, value))
  }
  futimens(fd, entryMtimeNs(table, entry))
}

/** As `setFileMetadata` for whatever lies at `path`, without following it. */
export function setPathMetadata(
  path: Buffer,
  object: { readonly table: EntryTable; readonly entry: number },
  noteLoss: NoteLoss,
): void {
  const { table, entry } = object
  lchownSync(path, table.uids[entry] ?? 0, table.gids[entry] ?? 0)
  if (entryKind(table, entry) !== 'symlink') chmodSync(path, table.modes[entry] ?? 0)
  for (const { name, value } of wantedXattrs(table, entry)) {
    tolerateUnsupported(name, noteLoss, () => lsetxattr(path, name, value))
  }
  utimensat(path, entryMtimeNs(table, entry))
}

/** xfs shows each ACL a second time, in its own encoding; the file system makes that itself. */
const XFS_ACL_PREFIX = 'trusted.SGI_ACL_'

function wantedXattrs(table: EntryTable, entry: number): EntryDetails['xattrs'] {
  return entryDetails(table, entry).xattrs.filter(({ name }) => !name.startsWith(XFS_ACL_PREFIX))
}

function tolerateUnsupported(name: string, noteLoss: NoteLoss, set: () => void): void {
  try {
    set()
  } catch (error) {
    if (errnoOf(error) !== 'ENOTSUP' && errnoOf(error) !== 'EOPNOTSUPP') throw error
    noteLoss(name)
  }
}
