// pax extended header records ("LENGTH KEY=VALUE\n") and what they say about the next member.
// Invariant: values are bytes; nothing is decoded as text unless the record is text by definition.
// Spec: POSIX.1-2017 pax "pax Extended Header"; SCHILY.*, RHT.* and GNU.sparse.* of GNU tar.
import { tarError } from './tar-header.ts'
import { parseSparsePairs, type SparseExtent } from './sparse-map.ts'

/** What pax records override; a field that is undefined leaves the header's own value. */
export interface PaxAttributes {
  path?: Buffer
  linkPath?: Buffer
  sizeBytes?: number
  uid?: number
  gid?: number
  mtimeNs?: bigint
  /** By name, one character a byte; the values as the kernel gave them. */
  xattrs: Map<string, Buffer>
  aclAccessText?: string
  aclDefaultText?: string
  selinuxLabel?: Buffer
  sparse?: PaxSparse
}

export interface PaxSparse {
  /** GNU.sparse.major: 1 means that the map stands before the data, 0 that `extents` has it. */
  major: number
  name?: Buffer
  realSizeBytes?: number
  /** Offsets and lengths in turn, as collected from formats 0.0 and 0.1. */
  numbers: number[]
}

const XATTR_PREFIX = 'SCHILY.xattr.'
const EQUALS = 0x3d
const NEWLINE = 0x0a
const SPACE = 0x20

export function createPaxAttributes(): PaxAttributes {
  return { xattrs: new Map() }
}

/**
 * Applies the records of one extended header body to `attributes`; values are copied. Throws
 * ERR_SI_TAR_FORMAT on records whose length does not fit or whose numbers are malformed.
 */
export function applyPaxRecords(attributes: PaxAttributes, body: Buffer, tarOffset: number): void {
  let position = 0
  while (position < body.length) {
    const space = body.indexOf(SPACE, position)
    const digits = space === -1 ? '' : body.toString('latin1', position, space)
    const length = /^\d{1,10}$/.test(digits) ? Number(digits) : 0
    const end = position + length
    if (end > body.length || end <= space + 1 || body[end - 1] !== NEWLINE) {
      throw tarError(tarOffset, 'pax record has a wrong length')
    }
    const equals = body.indexOf(EQUALS, space)
    if (equals === -1 || equals >= end) throw tarError(tarOffset, 'pax record has no value')
    const value = Buffer.from(body.subarray(equals + 1, end - 1))
    applyRecord(attributes, body.toString('latin1', space + 1, equals), { value, tarOffset })
    position = end
  }
}

function applyRecord(
  attributes: PaxAttributes,
  key: string,
  record: { readonly value: Buffer; readonly tarOffset: number },
): void {
  const { value, tarOffset } = record
  if (key.startsWith(XATTR_PREFIX)) {
    attributes.xattrs.set(decodeXattrName(key.slice(XATTR_PREFIX.length)), value)
  } else if (key.startsWith('GNU.sparse.')) {
    applySparse(attributes, key.slice('GNU.sparse.'.length), record)
  } else {
    switch (key) {
      case 'path':
        attributes.path = value
        break
      case 'linkpath':
        attributes.linkPath = value
        break
      case 'size':
        attributes.sizeBytes = parseWhole(value, tarOffset)
        break
      case 'uid':
        attributes.uid = parseWhole(value, tarOffset)
        break
      case 'gid':
        attributes.gid = parseWhole(value, tarOffset)
        break
      case 'mtime':
        attributes.mtimeNs = parseTimeNs(value.toString('latin1'), tarOffset)
        break
      case 'SCHILY.acl.access':
        attributes.aclAccessText = value.toString('latin1')
        break
      case 'SCHILY.acl.default':
        attributes.aclDefaultText = value.toString('latin1')
        break
      case 'RHT.security.selinux':
        attributes.selinuxLabel = value
        break
    }
  }
}

function applySparse(
  attributes: PaxAttributes,
  key: string,
  { value, tarOffset }: { readonly value: Buffer; readonly tarOffset: number },
): void {
  const sparse = (attributes.sparse ??= { major: 0, numbers: [] })
  switch (key) {
    case 'major':
      sparse.major = parseWhole(value, tarOffset)
      break
    case 'name':
      sparse.name = value
      break
    case 'size':
    case 'realsize':
      sparse.realSizeBytes = parseWhole(value, tarOffset)
      break
    case 'offset':
    case 'numbytes':
      sparse.numbers.push(parseWhole(value, tarOffset))
      break
    case 'map':
      for (const text of value.toString('latin1').split(',')) {
        sparse.numbers.push(parseWhole(Buffer.from(text), tarOffset))
      }
      break
  }
}

/** The extents of sparse formats 0.0 and 0.1. Throws ERR_SI_TAR_FORMAT. */
export function paxSparseExtents(sparse: PaxSparse, tarOffset: number): SparseExtent[] {
  return parseSparsePairs(sparse.numbers, tarOffset)
}

/** One character a byte. GNU tar writes `=` and `%` inside names as %3D and %25, because `=` ends the keyword. */
function decodeXattrName(name: string): string {
  return name.replaceAll('%3D', '=').replaceAll('%25', '%')
}

function parseWhole(value: Buffer, tarOffset: number): number {
  const text = value.toString('latin1')
  const number = Number(text)
  if (!/^\d{1,16}$/.test(text) || !Number.isSafeInteger(number)) {
    throw tarError(tarOffset, `pax record holds the malformed number "${text.slice(0, 40)}"`)
  }
  return number
}

/** Decimal seconds with any number of decimals → nanoseconds; finer decimals are cut off. */
function parseTimeNs(text: string, tarOffset: number): bigint {
  const match = /^(-?)(\d{1,12})(?:\.(\d+))?$/.exec(text)
  if (match === null) throw tarError(tarOffset, `pax record holds the malformed time "${text}"`)
  const fraction = (match[3] ?? '').slice(0, 9).padEnd(9, '0')
  const magnitude = BigInt(match[2] ?? '0') * 1_000_000_000n + BigInt(fraction)
  return match[1] === '-' ? -magnitude : magnitude
}
