// A layout file (LAYOUT.md) → Layout. Invariant: every fault names file and line, and nothing is taken from a
// file that has one. What the file leaves open comes from the golden client's layout, by name of the device.
import { parseConfiguration } from '../../config/config.ts'
import { checkLayout, listDevices, type LayoutFault } from './check-layout.ts'
import { FIRST_DISK, partitionName } from './layout.ts'
import type { DiskRule, Layout, WantedDisk, WantedFileSystem, WantedPartition } from './layout.ts'
import { layoutSchema } from './layout-schema.ts'
import type { ContentText, DiskText, LayoutText, PartitionText, RuleText } from './layout-schema.ts'
import { toTypeCode } from './partition-type.ts'

export interface LayoutFileOptions {
  /** What messages call the text: its path, as a rule. */
  readonly file: string
  /** Of the image; null: it was captured from a directory. */
  readonly golden: Layout | null
}

/** Throws ERR_SI_CONFIGURATION. */
export function parseLayout(text: string, { file, golden }: LayoutFileOptions): Layout {
  const configuration = parseConfiguration(text, { file, schema: layoutSchema, scalars: 'text' })
  const { value, fault } = configuration
  const reading: Reading = {
    ...{ golden, goldenDevices: golden === null ? [] : listDevices(golden) },
    ...{ keepsUuids: value.uuid !== 'new', memberTypes: memberTypes(value), faults: [] },
  }
  const uuidOf = (list: 'arrays' | 'encrypted', name: string) =>
    reading.keepsUuids ? (golden?.[list].find(named(name))?.uuid ?? '') : ''
  const layout: Layout = {
    origin: 'file',
    disks: value.disks.map((disk, index) => readDisk(disk, index, reading)),
    arrays: (value.arrays ?? []).map((array) => ({
      ...{ name: array.name, level: array.level, members: array.members },
      ...{ metadata: array.metadata ?? '1.2', uuid: uuidOf('arrays', array.name) },
      fileSystem: readFileSystem(array, array.name, reading),
    })),
    encrypted: (value.encrypted ?? []).map((one) => ({
      ...{ name: one.name, device: one.device, uuid: uuidOf('encrypted', one.name) },
      ...{ keyFile: one['key-file'] ?? null, keyInTarget: one['key-in-target'] ?? null },
      fileSystem: readFileSystem(one, one.name, reading),
    })),
    volumeGroups: (value['volume-groups'] ?? []).map(({ name, members, volumes }) => ({
      ...{ name, members },
      volumes: volumes.map((volume) => ({
        ...{ name: volume.name, size: volume.size, sourceSizeBytes: null },
        fileSystem: readFileSystem(volume, `${name}/${volume.name}`, reading),
      })),
    })),
  }
  for (const { path, message } of reading.faults) throw fault(path, message)
  return checkLayout(layout, ({ path, message }) => fault(path, message))
}

function named(name: string) {
  return (one: { readonly name: string }) => one.name === name
}

/** What is known while a file is read. */
interface Reading {
  readonly golden: Layout | null
  readonly goldenDevices: ReturnType<typeof listDevices>
  readonly keepsUuids: boolean
  /** By name of a device: the partition type of what it belongs to. */
  readonly memberTypes: ReadonlyMap<string, string>
  readonly faults: LayoutFault[]
}

function readFileSystem(
  content: ContentText,
  device: string,
  { goldenDevices, keepsUuids }: Reading,
): WantedFileSystem | null {
  const { format: type, mount = null, label = '', options = '', subvolumes = [] } = content
  if (type === undefined) return null
  const candidates = goldenDevices.flatMap(({ name, fileSystem }) =>
    fileSystem?.type === type ? [{ name, fileSystem }] : [],
  )
  const byMount = candidates.find(({ fileSystem }) => fileSystem.mountPoint === mount)
  const byName = candidates.find(({ name }) => name === device)
  const like = (byName ?? (mount === null ? undefined : byMount))?.fileSystem
  const policy = content.uuid ?? (keepsUuids ? 'keep' : 'new')
  return {
    ...{ type, label, mountPoint: mount, mountOptions: options },
    uuid: policy === 'keep' ? (like?.uuid ?? '') : policy === 'new' ? '' : policy,
    usedBytes: like?.mountPoint === mount ? like.usedBytes : 0,
    subvolumes: subvolumes.map((one) => ({
      ...{ path: one.path, mountPoint: one.mount ?? null, mountOptions: one.options ?? '' },
    })),
  }
}

function readDisk(disk: DiskText, index: number, reading: Reading): WantedDisk {
  const like = reading.golden?.disks.find(named(disk.name))
  return {
    ...{ name: disk.name, rule: toRule(disk.match), label: tableOf(disk) },
    diskId: reading.keepsUuids ? (like?.diskId ?? '') : '',
    extendedNumber: disk.extended ?? null,
    partitions: (disk.partitions ?? []).map((text, at) =>
      readPartition(text, { ...{ disk, reading, like }, path: ['disks', index, 'partitions', at] }),
    ),
    fileSystem: readFileSystem(disk, disk.name, reading),
  }
}

interface PartitionPlace {
  readonly disk: DiskText
  readonly like: WantedDisk | undefined
  readonly path: readonly (string | number)[]
  readonly reading: Reading
}

function readPartition(text: PartitionText, place: PartitionPlace): WantedPartition {
  const { disk, path, like, reading } = place
  const label = tableOf(disk)
  const { number } = text
  const name = partitionName(disk, number)
  const isKept = text.keep === true
  const word = text.type ?? reading.memberTypes.get(name) ?? typeOf(text)
  const typeCode = toTypeCode(word, label) ?? ''
  const fault = (key: string, message: string) =>
    reading.faults.push({ path: [...path, key], message })
  if (typeCode === '') {
    fault('type', `a table of ${disk.table ?? 'gpt'} has no partition type ${JSON.stringify(word)}`)
  }
  if (text.size === undefined && !isKept) fault('number', 'size: is missing')
  if (text.format === undefined && text.mount !== undefined) fault('mount', 'format: is missing')
  const same = like?.partitions.find((one) => one.number === number && one.typeCode === typeCode)
  return {
    ...{ number, isKept, typeCode, sourceSizeBytes: null, name: text.name ?? '' },
    size: text.size ?? { kind: 'fixed', bytes: 1 }, // a kept partition brings its own
    uuid: reading.keepsUuids && label === 'gpt' ? (same?.uuid ?? '') : '',
    attributes: text.attributes ?? '',
    isBootable: text.bootable === true,
    fileSystem: readFileSystem(text, name, reading),
  }
}

function tableOf({ table = 'gpt' }: DiskText): WantedDisk['label'] {
  return table === 'msdos' ? 'dos' : table
}

/** What a partition is for, where no type is given. */
function typeOf({ format, mount }: PartitionText): string {
  if (format === 'swap') return 'swap'
  return format === 'vfat' && mount !== undefined && /^\/(boot\/)?efi$/.test(mount)
    ? 'efi'
    : 'linux'
}

function memberTypes(value: LayoutText): ReadonlyMap<string, string> {
  const types = new Map<string, string>()
  for (const { members } of value['volume-groups'] ?? []) {
    for (const member of members) types.set(member, 'lvm')
  }
  for (const { members } of value.arrays ?? []) {
    for (const member of members) types.set(member, 'raid')
  }
  return types
}

function toRule(match: RuleText | undefined): DiskRule {
  if (match === undefined) return FIRST_DISK
  return {
    ...{ path: match.path ?? null, byId: match['by-id'] ?? null, model: match.model ?? null },
    ...{ serial: match.serial ?? null, transport: match.transport ?? null },
    minimumBytes: match['min-size'] ?? 0,
    maximumBytes: match['max-size'] ?? Infinity,
    pick: match.pick ?? null,
  }
}
