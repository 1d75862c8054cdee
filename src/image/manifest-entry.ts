// One file system object of an image, as the tar codec yields it and the manifest keeps it.
// Invariant: a path is relative to the root of the image, bytes, without leading `./` or trailing `/`.
import type { SparseExtent } from './sparse-map.ts'

export const ENTRY_TYPES = [
  'file',
  'directory',
  'symlink',
  'hardlink',
  'character',
  'block',
  'fifo',
] as const

export type EntryType = (typeof ENTRY_TYPES)[number]

export interface Xattr {
  /** One character a byte (latin1): a name need not be UTF-8. */
  readonly name: string
  readonly value: Buffer
}

export interface ManifestEntry {
  readonly type: EntryType
  /** Components joined by `/`; empty for the root directory itself. */
  readonly path: Buffer
  /** Twelve permission bits. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  /** Nanoseconds since 1970, negative before. */
  readonly mtimeNs: bigint
  /** Logical size of a file, 0 for everything else. */
  readonly sizeBytes: number
  /** Tar offset of a file's first data byte, after a sparse map; 0 for everything else. */
  readonly dataOffset: number
  /** Bytes stored at `dataOffset`; fewer than `sizeBytes` when the file is sparse. */
  readonly dataBytes: number
  /** A symlink's text as it is; a hard link's target in the form of `path`; null otherwise. */
  readonly linkTarget: Buffer | null
  readonly deviceMajor: number
  readonly deviceMinor: number
  /** POSIX ACLs as system.posix_acl_access and system.posix_acl_default in the kernel's binary form. */
  readonly xattrs: readonly Xattr[]
  /** Data extents of a sparse file, stored one after the other; null when the file has no holes. */
  readonly sparse: readonly SparseExtent[] | null
}
