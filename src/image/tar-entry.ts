// A header block plus the pax attributes before it → one manifest entry.
// Invariant: an entry that leaves here is complete and its numbers agree with each other; whether its
// path is safe is for the entry tree to say. Spec: POSIX.1-2017 pax, GNU tar manual.
import { formatBytesForPeople } from '../core/core.ts'
import type { EntryType, ManifestEntry, Xattr } from './manifest-entry.ts'
import { paxSparseExtents, type PaxAttributes } from './pax-records.ts'
import { encodePosixAcl } from './posix-acl.ts'
import type { SparseExtent } from './sparse-map.ts'
import { sparseFault } from './sparse-map.ts'
import { tarError, type TarHeader } from './tar-header.ts'

/** A member whose header was read; its sparse map, when it stands in the data, was not. */
export interface TarMember {
  readonly type: EntryType
  readonly path: Buffer
  readonly header: TarHeader
  readonly pax: PaxAttributes
  readonly linkTarget: Buffer | null
  /** Bytes between this header and the next, without padding. */
  readonly storedBytes: number
  readonly hasMapInData: boolean
}

const TYPES: Readonly<Record<string, EntryType>> = {
  '0': 'file',
  '7': 'file',
  '1': 'hardlink',
  '2': 'symlink',
  '3': 'character',
  '4': 'block',
  '5': 'directory',
  '6': 'fifo',
}

const SLASH = 0x2f
const DOT = 0x2e

/** Member name → path of an entry: without leading `./` and trailing `/`; `.` is the root. */
export function toEntryPath(name: Buffer): Buffer {
  let start = 0
  let end = name.length
  while (end > 1 && name[end - 1] === SLASH) end--
  while (start + 1 < end && name[start] === DOT && name[start + 1] === SLASH) {
    start += 2
    while (start < end && name[start] === SLASH) start++
  }
  if (end - start === 1 && name[start] === DOT) start = end
  return name.subarray(start, end)
}

/** Throws ERR_SI_TAR_FORMAT on member types an image cannot hold and on contradictions. */
export function toMember(header: TarHeader, pax: PaxAttributes, tarOffset: number): TarMember {
  const name = pax.sparse?.name ?? pax.path ?? header.name
  const isOldDirectory = header.typeFlag === '0' && name.at(-1) === SLASH
  const type = isOldDirectory ? 'directory' : TYPES[header.typeFlag]
  if (type === undefined) {
    throw tarError(tarOffset, `member type "${header.typeFlag}" is not supported`)
  }
  if (name.length === 0) throw tarError(tarOffset, 'member has no name')
  const linkName = pax.linkPath ?? header.linkName
  const storedBytes = pax.sizeBytes ?? header.sizeBytes
  if (storedBytes < 0 || header.uid < 0 || header.gid < 0) {
    throw tarError(tarOffset, 'header holds a negative number')
  }
  if (type !== 'file' && storedBytes !== 0) {
    throw tarError(tarOffset, `member of type ${type} carries ${storedBytes} bytes of data`)
  }
  return {
    type,
    path: toEntryPath(name),
    header,
    pax,
    linkTarget: type === 'symlink' ? linkName : type === 'hardlink' ? toEntryPath(linkName) : null,
    storedBytes,
    hasMapInData: type === 'file' && pax.sparse?.major === 1,
  }
}

/** What the data section turned out to be: where it begins and, for map-in-data, its extents. */
export interface MemberData {
  readonly dataOffset: number
  readonly dataBytes: number
  readonly mapExtents: readonly SparseExtent[] | null
}

/** Throws ERR_SI_TAR_FORMAT when a sparse map does not fit; `onNote` hears of what was left out. */
export function toEntry(
  member: TarMember,
  data: MemberData,
  onNote: (text: string) => void,
): ManifestEntry {
  const { header, pax, type } = member
  const isFile = type === 'file'
  const isDevice = type === 'character' || type === 'block'
  const pairs = isFile && pax.sparse !== undefined && data.mapExtents === null
  const sparse =
    pairs && pax.sparse ? paxSparseExtents(pax.sparse, data.dataOffset) : data.mapExtents
  const sizeBytes = isFile ? (pax.sparse?.realSizeBytes ?? data.dataBytes) : 0
  const fault = sparse === null ? undefined : sparseFault(sparse, sizeBytes, data.dataBytes)
  if (fault !== undefined) throw tarError(data.dataOffset, fault)
  return {
    type,
    path: member.path,
    mode: header.mode,
    uid: pax.uid ?? header.uid,
    gid: pax.gid ?? header.gid,
    mtimeNs: pax.mtimeNs ?? BigInt(header.mtimeSeconds) * 1_000_000_000n,
    sizeBytes,
    dataOffset: isFile ? data.dataOffset : 0,
    dataBytes: data.dataBytes,
    linkTarget: member.linkTarget,
    deviceMajor: isDevice ? header.deviceMajor : 0,
    deviceMinor: isDevice ? header.deviceMinor : 0,
    xattrs: type === 'hardlink' ? [] : collectXattrs(member, onNote),
    sparse,
  }
}

/** Binary values win over the text that GNU tar writes beside them. */
function collectXattrs(member: TarMember, onNote: (text: string) => void): Xattr[] {
  const { pax } = member
  const xattrs: Xattr[] = []
  for (const [name, value] of pax.xattrs) xattrs.push({ name, value })
  const addAcl = (kind: 'access' | 'default', text: string | undefined) => {
    const name = `system.posix_acl_${kind}`
    if (text === undefined || pax.xattrs.has(name)) return
    const value = encodePosixAcl(text, kind)
    if (value === undefined) {
      onNote(`Left out the ${kind} ACL of ${formatBytesForPeople(member.path)}: it is not numeric`)
    } else if (value.length > 0) {
      xattrs.push({ name, value })
    }
  }
  addAcl('access', pax.aclAccessText)
  addAcl('default', pax.aclDefaultText)
  if (pax.selinuxLabel !== undefined && !pax.xattrs.has('security.selinux')) {
    // The kernel keeps the label with its final NUL, tar without.
    xattrs.push({
      name: 'security.selinux',
      value: Buffer.concat([pax.selinuxLabel, Buffer.of(0)]),
    })
  }
  return xattrs
}
