// A Layout as the text of a layout file: what an administrator begins with. Invariant: parseLayout() of it, with
// the same golden client, gives a layout that plans the same. Pure. Spec: LAYOUT.md.
import { stringify } from 'yaml'
import type { Layout, Size, WantedDisk, WantedFileSystem, WantedPartition } from './layout.ts'
import { isMakeable } from './makeable.ts'
import { fromTypeCode } from './partition-type.ts'

export interface LayoutTextOptions {
  /** Whose layout it is: `golden01 20261122-160000`. */
  readonly image: string
}

export function formatLayout(layout: Layout, { image }: LayoutTextOptions): string {
  const { disks, arrays, encrypted, volumeGroups } = layout
  const value = {
    uuid: 'keep',
    disks: disks.map(toDiskText),
    ...given('arrays', arrays, ({ name, level, metadata, members, fileSystem }) => ({
      ...{ name, level, metadata, members },
      ...toContentText(fileSystem),
    })),
    ...given('encrypted', encrypted, ({ name, device, fileSystem }) => ({
      ...{ name, device, 'key-file': '/PATH/TO/THE/KEY' },
      ...toContentText(fileSystem),
    })),
    ...given('volume-groups', volumeGroups, ({ name, members, volumes }) => ({
      ...{ name, members },
      volumes: volumes.map((volume) => ({
        ...{ name: volume.name, size: formatExact(volume.size) },
        ...toContentText(volume.fileSystem),
      })),
    })),
  }
  const head = [
    ` Disks of ${image.replace(/\s+/g, ' ')}, for si-deploy --layout FILE.`,
    ' uuid: keep those of the golden client, or new ones on each machine.',
    ...(encrypted.length > 0 ? [' key-file: where the installing machine has the key.'] : []),
  ]
  const body = stringify(value, { schema: 'failsafe', lineWidth: 0, aliasDuplicateObjects: false })
  return `${head.map((line) => `#${line}\n`).join('')}${body}`
}

function given<Item, Text>(key: string, items: readonly Item[], toText: (item: Item) => Text) {
  return items.length === 0 ? {} : { [key]: items.map(toText) }
}

function toDiskText(disk: WantedDisk) {
  const { name, label, extendedNumber, partitions, fileSystem } = disk
  return {
    ...{ name, match: 'first', table: label === 'dos' ? 'msdos' : label },
    ...(extendedNumber === null ? {} : { extended: String(extendedNumber) }),
    ...given('partitions', partitions, (partition) => toPartitionText(partition, label)),
    ...toContentText(fileSystem),
  }
}

function toPartitionText(partition: WantedPartition, label: WantedDisk['label']) {
  const { number, size, typeCode, name, attributes, isBootable, fileSystem } = partition
  return {
    ...{ number: String(number), size: formatExact(size), type: fromTypeCode(typeCode, label) },
    ...(name === '' ? {} : { name }),
    ...(attributes === '' ? {} : { attributes }),
    ...(isBootable ? { bootable: 'true' } : {}),
    ...toContentText(fileSystem),
  }
}

function toContentText(fileSystem: WantedFileSystem | null) {
  if (fileSystem === null || !isMakeable(fileSystem.type)) return {}
  const { type, label, mountPoint, mountOptions, subvolumes } = fileSystem
  return {
    format: type,
    ...(label === '' ? {} : { label }),
    ...(mountPoint === null ? {} : { mount: mountPoint }),
    ...(mountOptions === '' ? {} : { options: mountOptions }),
    ...given('subvolumes', subvolumes, (one) => ({
      path: one.path,
      ...(one.mountPoint === null ? {} : { mount: one.mountPoint }),
      ...(one.mountOptions === '' ? {} : { options: one.mountOptions }),
    })),
  }
}

const UNITS = ['TiB', 'GiB', 'MiB', 'KiB'] as const

/** In the largest unit that divides it. */
function formatExact(size: Size): string {
  switch (size.kind) {
    case 'rest':
      return 'rest'
    case 'percent':
      return `${size.percent}%`
    case 'fixed': {
      for (const [index, unit] of UNITS.entries()) {
        const factor = 1024 ** (UNITS.length - index)
        if (size.bytes >= factor && size.bytes % factor === 0)
          return `${size.bytes / factor}${unit}`
      }
      return String(size.bytes)
    }
    default:
      return size satisfies never
  }
}
