// Partition types: the words of layout files, and what they are on GPT (UEFI specification 2.10 §5.3.3,
// Discoverable Partitions Specification) and in an msdos table. A type without a word is written as it is.
import type { WantedDisk } from './layout.ts'

export const EFI_SYSTEM_TYPE = 'C12A7328-F81F-11D2-BA4B-00A0C93EC93B'
export const BIOS_BOOT_TYPE = '21686148-6449-6E6F-744E-656564454649'

/** By word: GUID, and msdos code where there is one. */
const TYPES = {
  linux: ['0FC63DAF-8483-4772-8E79-3D69D8477DE4', '83'],
  efi: [EFI_SYSTEM_TYPE, 'ef'],
  'bios-boot': [BIOS_BOOT_TYPE, null],
  prep: ['9E1A2D38-C612-4316-AA26-8B49521E5A8B', '41'],
  swap: ['0657FD6D-A4AB-43C4-84E5-0933C84B4F4F', '82'],
  raid: ['A19D880F-05FC-4D3B-A006-743F0F84911E', 'fd'],
  lvm: ['E6D6D379-F507-44C2-A23C-238F2A3DF928', '8e'],
  windows: ['EBD0A0A2-B9E5-4433-87C0-68B6B72699C7', '7'],
} as const satisfies Readonly<Record<string, readonly [gpt: string, msdos: string | null]>>

export type PartitionTypeWord = keyof typeof TYPES
export const PARTITION_TYPE_WORDS = Object.keys(TYPES) as readonly PartitionTypeWord[]

const GUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

/** Types of msdos partitions that hold the logical ones. */
const EXTENDED_TYPES = new Set(['5', 'f', '85'])

type TableLabel = WantedDisk['label']

/** Word, GUID or msdos code → what the table holds; undefined when such a table has no such type. */
export function toTypeCode(text: string, label: TableLabel): string | undefined {
  const column = label === 'dos' ? 1 : 0
  const known = (TYPES as Readonly<Record<string, readonly (string | null)[]>>)[text]
  if (known !== undefined) return known[column] ?? undefined
  if (label === 'dos') {
    const code = normalizeMsdosType(text)
    return /^[1-9a-f][0-9a-f]?$/.test(code) && !isExtendedType(code) ? code : undefined
  }
  return GUID.test(text) ? text.toUpperCase() : undefined
}

/** The word for a type of such a table, or the type itself. */
export function fromTypeCode(typeCode: string, label: TableLabel): string {
  return PARTITION_TYPE_WORDS.find((word) => toTypeCode(word, label) === typeCode) ?? typeCode
}

export function isExtendedType(msdosType: string): boolean {
  return EXTENDED_TYPES.has(normalizeMsdosType(msdosType))
}

/** `0x0C` → `c`. */
function normalizeMsdosType(text: string): string {
  return text
    .toLowerCase()
    .replace(/^0x/, '')
    .replace(/^0+(?=.)/, '')
}
