// What the target's file system refuses, in words: which entry, and why.
import { errnoOf, formatBytesForPeople, messageOf, SiError } from '../core/core.ts'
import { entryPath, type EntryTable } from './entry-table.ts'

const FULL = new Set(['ENOSPC', 'EDQUOT', 'EFBIG'])

/** What EIO means, whatever was being written. */
export const FAILING_DISK_HINT =
  'Look at what the kernel says of the disk (dmesg), check its cable, or replace it'

/** Runs `act` on one entry; its errno becomes ERR_SI_TARGET_FULL or ERR_SI_DEPLOY with the path. */
export function onEntry<T>(table: EntryTable, entry: number, act: () => T): T {
  try {
    return act()
  } catch (error) {
    throw errnoOf(error) === undefined ? error : targetError(nameOf(entryPath(table, entry)), error)
  }
}

function nameOf(path: Uint8Array): string {
  return path.length === 0 ? 'the root directory' : `"${formatBytesForPeople(path)}"`
}

/** The SiError for a system error met while writing what `name` says. */
export function targetError(name: string, error: unknown): SiError {
  const code = errnoOf(error) ?? ''
  if (FULL.has(code)) {
    return new SiError('ERR_SI_TARGET_FULL', `Cannot write ${name}: the target is full`, {
      hint: 'Deploy to a larger target',
      cause: error,
    })
  }
  const hint = code === 'EIO' ? FAILING_DISK_HINT : undefined
  return new SiError('ERR_SI_DEPLOY', `Cannot write ${name}: ${messageOf(error)}`, {
    hint,
    cause: error,
  })
}
