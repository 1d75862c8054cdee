// POSIX access control lists: the text tar stores → the binary form of the kernel's xattrs
// system.posix_acl_access and system.posix_acl_default. Only numeric ids are understood, because the
// names of the golden client mean nothing here. Spec: linux/posix_acl_xattr.h, acl(5).

const VERSION = 2
const ENTRY_BYTES = 8
const NO_ID = 0xffff_ffff

const TAGS: Readonly<Record<string, { readonly base: number; readonly named: number }>> = {
  user: { base: 0x01, named: 0x02 },
  group: { base: 0x04, named: 0x08 },
  mask: { base: 0x10, named: 0x10 },
  other: { base: 0x20, named: 0x20 },
}

interface AclEntry {
  readonly tag: number
  readonly permissions: number
  readonly id: number
}

/**
 * Text such as `user::rw-`, `user:1000:r--`, … separated by newlines or commas → xattr value. Returns
 * undefined when the text is malformed or names somebody by anything but a number. An access list of
 * no more than the three classes says what the mode says: the value is then empty.
 */
export function encodePosixAcl(text: string, kind: 'access' | 'default'): Buffer | undefined {
  const entries: AclEntry[] = []
  for (const line of text.split(/[\n,]/)) {
    const words = line.replace(/#.*$/, '').trim()
    if (words === '') continue
    const entry = parseEntry(words)
    if (entry === undefined) return undefined
    entries.push(entry)
  }
  if (entries.length < 3) return undefined
  if (entries.length === 3 && kind === 'access') return Buffer.alloc(0)
  return encodeEntries(entries)
}

/** `user:NAME:rwx`, with the number of NAME as a fourth field where star wrote it. */
function parseEntry(words: string): AclEntry | undefined {
  const [kind = '', name = '', letters = '', number = name] = words.split(':')
  const tag = TAGS[kind]
  if (tag === undefined || !/^[r-][w-][x-]$/.test(letters)) return undefined
  const permissions =
    (letters[0] === 'r' ? 4 : 0) | (letters[1] === 'w' ? 2 : 0) | (letters[2] === 'x' ? 1 : 0)
  if (name === '') return { tag: tag.base, permissions, id: NO_ID }
  if (!/^\d{1,10}$/.test(number) || Number(number) >= NO_ID) return undefined
  return { tag: tag.named, permissions, id: Number(number) }
}

function encodeEntries(entries: readonly AclEntry[]): Buffer {
  const value = Buffer.alloc(4 + entries.length * ENTRY_BYTES)
  value.writeUInt32LE(VERSION, 0)
  const sorted = entries.toSorted((a, b) => a.tag - b.tag || a.id - b.id)
  for (const [index, entry] of sorted.entries()) {
    const offset = 4 + index * ENTRY_BYTES
    value.writeUInt16LE(entry.tag, offset)
    value.writeUInt16LE(entry.permissions, offset + 2)
    value.writeUInt32LE(entry.id, offset + 4)
  }
  return value
}
