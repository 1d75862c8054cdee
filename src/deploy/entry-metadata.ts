// Owner, mode, extended attributes and times of one entry, in the only order that works: a change of
// owner clears setuid bits and capabilities, a change of mode would rewrite an ACL's mask, and every
// change but the last would move the time. Invariant: what the file system did not keep is noted; it is
// read back, because some clamp times and drop modes without an error (vfat, old ext4 inodes).
import { chmodSync, fchmodSync, fchownSync, fstatSync, lchownSync, lstatSync } from 'node:fs'
import type { BigIntStats } from 'node:fs'
import { errnoOf } from '../core/core.ts'
import { fsetxattr, futimens, lsetxattr, utimensat } from '../host/host.ts'
import type { Loss } from './attribute-loss.ts'
import {
  entryDetails,
  entryKind,
  entryMtimeNs,
  type EntryDetails,
  type EntryTable,
} from './entry-table.ts'

/** Receives what the target's file system cannot keep of an entry. */
export type NoteLoss = (loss: Loss, entry: number) => void

interface EntryOf {
  readonly table: EntryTable
  readonly entry: number
}

/** The system calls on one object, by descriptor or by path. */
interface Calls {
  chown(uid: number, gid: number): void
  /** Undefined for a symlink, which has no mode of its own. */
  readonly chmod: ((mode: number) => void) | undefined
  setXattr(name: Buffer, value: Uint8Array): void
  setMtime(mtimeNs: bigint): void
  stat(): BigIntStats
}

/** Gives an open regular file its metadata; its data must be complete. */
export function setFileMetadata(fd: number, file: EntryOf, noteLoss: NoteLoss): void {
  const calls: Calls = {
    chown: (uid, gid) => fchownSync(fd, uid, gid),
    chmod: (mode) => fchmodSync(fd, mode),
    setXattr: (name, value) => fsetxattr(fd, name, value),
    setMtime: (mtimeNs) => futimens(fd, mtimeNs),
    stat: () => fstatSync(fd, { bigint: true }),
  }
  setMetadata(calls, file, noteLoss)
}

/** As `setFileMetadata` for whatever lies at `path`, without following it. */
export function setPathMetadata(path: Buffer, object: EntryOf, noteLoss: NoteLoss): void {
  const isSymlink = entryKind(object.table, object.entry) === 'symlink'
  const calls: Calls = {
    chown: (uid, gid) => lchownSync(path, uid, gid),
    chmod: isSymlink ? undefined : (mode) => chmodSync(path, mode),
    setXattr: (name, value) => lsetxattr(path, name, value),
    setMtime: (mtimeNs) => utimensat(path, mtimeNs),
    stat: () => lstatSync(path, { bigint: true }),
  }
  setMetadata(calls, object, noteLoss)
}

const SETUID_AND_SETGID = 0o6000

function setMetadata(calls: Calls, { table, entry }: EntryOf, noteLoss: NoteLoss): void {
  const [uid, gid] = [table.uids[entry] ?? 0, table.gids[entry] ?? 0]
  const hasOwner = isAllowed(() => calls.chown(uid, gid))
  // Whoever owns it instead must not lend his rights to all who run it.
  const mode = (table.modes[entry] ?? 0) & (hasOwner ? ~0 : ~SETUID_AND_SETGID)
  isAllowed(() => calls.chmod?.(mode))
  for (const { name, value } of wantedXattrs(table, entry)) {
    const fault = refusal(() => calls.setXattr(Buffer.from(name, 'latin1'), value), XATTR_REFUSALS)
    if (fault !== undefined) noteLoss(TOO_LARGE.has(fault) ? 'large' : name, entry)
  }
  const mtimeNs = entryMtimeNs(table, entry)
  calls.setMtime(mtimeNs)
  const found = calls.stat()
  if (found.uid !== BigInt(uid) || found.gid !== BigInt(gid)) noteLoss('owner', entry)
  if (calls.chmod !== undefined && (Number(found.mode) & 0o7777) !== table.modes[entry]) {
    noteLoss('mode', entry)
  }
  if (found.mtimeNs !== mtimeNs) noteLoss(timeLoss(found.mtimeNs, mtimeNs), entry)
}

/** The coarsest clock of a file system that we know, vfat's. */
const COARSEST_NS = 2_000_000_000n

function timeLoss(foundNs: bigint, wantedNs: bigint): Loss {
  const difference = wantedNs - foundNs
  return difference > -COARSEST_NS && difference < COARSEST_NS ? 'fraction' : 'time'
}

/** xfs shows each ACL a second time, in its own encoding; the file system makes that itself. */
const XFS_ACL_PREFIX = 'trusted.SGI_ACL_'

function wantedXattrs(table: EntryTable, entry: number): EntryDetails['xattrs'] {
  return entryDetails(table, entry).xattrs.filter(({ name }) => !name.startsWith(XFS_ACL_PREFIX))
}

/** No such thing on this file system, or not for us; EINVAL: an ACL that the kernel cannot read. */
const REFUSALS: ReadonlySet<string> = new Set(['EPERM', 'EINVAL', 'ENOTSUP', 'EOPNOTSUPP'])

/** ext4 has room for one block of attributes; it says ENOSPC on an empty disk, too. */
const TOO_LARGE: ReadonlySet<string> = new Set(['ENOSPC', 'E2BIG', 'ERANGE'])

const XATTR_REFUSALS: ReadonlySet<string> = new Set([...REFUSALS, ...TOO_LARGE])

function isAllowed(act: () => void): boolean {
  return refusal(act, REFUSALS) === undefined
}

/** The code of an expected refusal; undefined when it was done. */
function refusal(act: () => void, codes: ReadonlySet<string>): string | undefined {
  try {
    act()
    return undefined
  } catch (error) {
    const code = errnoOf(error) ?? ''
    if (codes.has(code)) return code
    throw error
  }
}
