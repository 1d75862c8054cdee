// What differs between two entries of the same path, content aside. Pure.
import type { ManifestEntry, Xattr } from './manifest-entry.ts'

/** All that can differ between two objects of the same path. */
export const CHANGES = [
  ...(['type', 'mode', 'owner', 'size', 'content', 'mtime'] as const),
  ...(['xattrs', 'link', 'device'] as const),
] as const

export type Change = (typeof CHANGES)[number]

/** An entry without its path; `content` is for the caller to add. */
export type EntryFacts = Omit<ManifestEntry, 'path'>

/** In the order of CHANGES. Of objects of different types nothing else is compared but mode and owner. */
export function entryChanges(a: EntryFacts, b: EntryFacts): Change[] {
  const isSameType = a.type === b.type
  const changes: Change[] = []
  if (!isSameType) changes.push('type')
  if (a.mode !== b.mode && a.type !== 'symlink') changes.push('mode')
  if (a.uid !== b.uid || a.gid !== b.gid) changes.push('owner')
  if (!isSameType) return changes
  if (a.sizeBytes !== b.sizeBytes) changes.push('size')
  if (a.mtimeNs !== b.mtimeNs) changes.push('mtime')
  if (!isSameXattrs(a.xattrs, b.xattrs)) changes.push('xattrs')
  if (!isSameTarget(a.linkTarget, b.linkTarget)) changes.push('link')
  if (a.deviceMajor !== b.deviceMajor || a.deviceMinor !== b.deviceMinor) changes.push('device')
  return changes
}

function isSameTarget(a: Buffer | null, b: Buffer | null): boolean {
  return a === null || b === null ? a === b : a.equals(b)
}

/** Whatever their order. */
function isSameXattrs(a: readonly Xattr[], b: readonly Xattr[]): boolean {
  if (a.length !== b.length) return false
  return a.every(({ name, value }) =>
    b.some((other) => other.name === name && other.value.equals(value)),
  )
}
