// What no grammar can find out about a layout: names that are missing or used twice, sizes that exclude each
// other, circles. Pure. The same rules hold for a file and for what a manifest says.
import type { SiError } from '../../core/core.ts'
import { FEWEST_MEMBERS, partitionName } from './layout.ts'
import type { Layout, Size, WantedDisk, WantedFileSystem } from './layout.ts'
import { checkFileSystem } from './check-file-system.ts'

/** Keys and indexes as in a layout file, to the value that is wrong. */
export type LayoutPath = readonly (string | number)[]

export interface LayoutFault {
  readonly path: LayoutPath
  readonly message: string
}

/** A device of the layout by its name, and who uses it. */
interface Device {
  readonly name: string
  readonly path: LayoutPath
  readonly fileSystem: WantedFileSystem | null
  readonly isKept: boolean
}

/** Empty: the layout can be planned. */
export function findLayoutFaults(layout: Layout): readonly LayoutFault[] {
  return [
    ...layout.disks.flatMap((disk, index) => diskFaults(disk, ['disks', index])),
    ...volumeFaults(layout),
    ...referenceFaults(layout),
    ...fileSystemFaults(layout),
  ]
}

/** Returns the layout, or throws what `toError` makes of its first fault: the gate before planning. */
export function checkLayout(layout: Layout, toError: (fault: LayoutFault) => SiError): Layout {
  const [first] = findLayoutFaults(layout)
  if (first !== undefined) throw toError(first)
  return layout
}

/** Everything that can hold a file system or be a member, in the order of the layout. */
export function listDevices(layout: Layout): readonly Device[] {
  const disks = layout.disks.flatMap((disk, index): Device[] => {
    const path = ['disks', index]
    const whole = { name: disk.name, path, fileSystem: disk.fileSystem, isKept: false }
    if (disk.label === 'none') return [whole]
    return disk.partitions.map((partition, at) => ({
      ...{ name: partitionName(disk, partition.number), path: [...path, 'partitions', at] },
      ...{ fileSystem: partition.fileSystem, isKept: partition.isKept },
    }))
  })
  const plain = (list: 'arrays' | 'encrypted') =>
    layout[list].map(({ name, fileSystem }, index): Device => {
      return { name, path: [list, index], fileSystem, isKept: false }
    })
  const volumes = layout.volumeGroups.flatMap((group, index) =>
    group.volumes.map((volume, at): Device => {
      const path = ['volume-groups', index, 'volumes', at]
      const name = `${group.name}/${volume.name}`
      return { name, path, fileSystem: volume.fileSystem, isKept: false }
    }),
  )
  return [...disks, ...plain('arrays'), ...plain('encrypted'), ...volumes]
}

/** What is made of which devices. */
export function listMemberships(
  layout: Layout,
): readonly { readonly owner: string; readonly device: string; readonly path: LayoutPath }[] {
  const of = (owner: string, names: readonly string[], path: LayoutPath) =>
    names.map((device, at) => ({ owner, device, path: [...path, 'members', at] }))
  return [
    ...layout.arrays.flatMap(({ name, members }, at) => of(name, members, ['arrays', at])),
    ...layout.encrypted.map(({ name, device }, at) => ({
      ...{ owner: name, device, path: ['encrypted', at, 'device'] },
    })),
    ...layout.volumeGroups.flatMap(({ name, members }, at) =>
      of(name, members, ['volume-groups', at]),
    ),
  ]
}

function diskFaults(disk: WantedDisk, path: LayoutPath): readonly LayoutFault[] {
  const faults: LayoutFault[] = []
  const { label, partitions } = disk
  if (label === 'none' && partitions.length > 0) {
    faults.push({
      path: [...path, 'partitions'],
      message: 'a disk with table none has no partitions',
    })
  }
  if (label !== 'none' && disk.fileSystem !== null) {
    const message = 'only a disk with table none holds a file system itself'
    faults.push({ path: [...path, 'format'], message })
  }
  const at = (index: number, key: string) => [...path, 'partitions', index, key]
  partitions.forEach(({ number, isKept, attributes }, index) => {
    if (partitions.findIndex((other) => other.number === number) !== index) {
      faults.push({ path: at(index, 'number'), message: `partition ${number} stands twice` })
    }
    if (number > (label === 'gpt' ? 128 : 60)) {
      faults.push({ path: at(index, 'number'), message: `there is no partition ${number}` })
    }
    if (!/^[\w:, ]*$/.test(attributes)) {
      const message = `${JSON.stringify(attributes)} are no partition attributes`
      faults.push({ path: at(index, 'attributes'), message })
    }
    if (isKept && label === 'dos' && number > 4) {
      faults.push({ path: at(index, 'keep'), message: 'logical partitions cannot be kept' })
    }
  })
  if (label === 'dos') faults.push(...msdosFaults(disk, path))
  return [...faults, ...sizeFaults(partitions, [...path, 'partitions'])]
}

/** Logical partitions (5 and up) lie in one extended partition, which takes a number of 1 to 4. */
function msdosFaults(disk: WantedDisk, path: LayoutPath): readonly LayoutFault[] {
  const faults: LayoutFault[] = []
  const logical = disk.partitions.map(({ number }) => number > 4)
  const first = logical.indexOf(true)
  if (first < 0) return faults
  const end = logical.lastIndexOf(true)
  const between = logical.indexOf(false, first)
  if (between >= 0 && between < end) {
    const message = 'logical partitions (5 and up) must follow each other'
    faults.push({ path: [...path, 'partitions', between], message })
  }
  const numbers = disk.partitions.filter((_, at) => logical[at]).map(({ number }) => number)
  if (numbers.some((number, index) => number !== index + 5)) {
    const message = 'logical partitions must be numbered 5, 6 and so on'
    faults.push({ path: [...path, 'partitions', first, 'number'], message })
  }
  const primary = disk.partitions.filter((_, at) => !logical[at]).map(({ number }) => number)
  if (disk.extendedNumber !== null) {
    if (disk.extendedNumber > 4 || primary.includes(disk.extendedNumber)) {
      const message = `${disk.extendedNumber} is no free number for the extended partition`
      faults.push({ path: [...path, 'extended'], message })
    }
  } else if (primary.length > 3) {
    const message = 'four primary partitions leave no room for an extended one'
    faults.push({ path: [...path, 'partitions'], message })
  }
  return faults
}

function sizeFaults(
  parts: readonly { readonly size: Size }[],
  path: LayoutPath,
): readonly LayoutFault[] {
  const rests = parts.flatMap(({ size }, index) => (size.kind === 'rest' ? [index] : []))
  const percent = parts.reduce((sum, { size }) => {
    return sum + (size.kind === 'percent' ? size.percent : 0)
  }, 0)
  const faults: LayoutFault[] = []
  if (rests.length > 1) {
    faults.push({ path: [...path, rests[1] ?? 0, 'size'], message: 'only one can have the rest' })
  }
  // Percentages of a captured layout are rounded.
  if (percent > 100.1) faults.push({ path, message: `the percentages add up to ${percent} %` })
  return faults
}

function volumeFaults(layout: Layout): readonly LayoutFault[] {
  return layout.volumeGroups.flatMap(({ volumes }, index) =>
    sizeFaults(volumes, ['volume-groups', index, 'volumes']),
  )
}

function referenceFaults(layout: Layout): readonly LayoutFault[] {
  const faults: LayoutFault[] = []
  const devices = listDevices(layout)
  const named = (key: string) => (one: { readonly name: string }, index: number) => ({
    ...{ name: one.name, path: [key, index] as LayoutPath },
  })
  const parts = devices.filter(({ name }) => !layout.disks.some((disk) => disk.name === name))
  const groups = layout.volumeGroups.map(named('volume-groups'))
  const names = [...layout.disks.map(named('disks')), ...parts, ...groups]
  names.forEach(({ name, path }, index) => {
    if (!/^[A-Za-z0-9][\w.+-]*(\/[A-Za-z0-9][\w.+-]*)?$/.test(name)) {
      faults.push({ path, message: `${JSON.stringify(name)} is no name for a device` })
    }
    if (names.findIndex((other) => other.name === name) !== index) {
      faults.push({ path, message: `the name ${name} is used twice` })
    }
  })
  const owners = new Map<string, string>()
  for (const { owner, device, path } of listMemberships(layout)) {
    const found = devices.find(({ name }) => name === device)
    const before = owners.get(device)
    owners.set(device, owner)
    const message =
      found === undefined
        ? `there is no device ${device}; there are ${devices.map(({ name }) => name).join(', ')}`
        : before !== undefined
          ? `${device} belongs to ${before} already`
          : found.fileSystem !== null
            ? `${device} has a file system, so it cannot belong to ${owner}`
            : found.isKept
              ? `${device} is kept, so it cannot belong to ${owner}`
              : undefined
    if (message !== undefined) faults.push({ path, message })
  }
  layout.arrays.forEach(({ level, members }, index) => {
    const fewest = FEWEST_MEMBERS[level]
    if (members.length >= fewest) return
    const message = `RAID ${level} needs ${fewest} members`
    faults.push({ path: ['arrays', index, 'members'], message })
  })
  return faults.length > 0 ? faults : circleFaults(layout)
}

/** Devices that are made of each other. */
function circleFaults(layout: Layout): readonly LayoutFault[] {
  const memberships = listMemberships(layout)
  /** The maker of a volume is its group. */
  const makerOf = (device: string) => device.split('/')[0] ?? device
  const isCircular = (start: string): boolean => {
    const seen = new Set<string>()
    const queue = [start]
    for (let owner = queue.pop(); owner !== undefined; owner = queue.pop()) {
      for (const { device } of memberships.filter((one) => one.owner === owner)) {
        const maker = makerOf(device)
        if (maker === start) return true
        if (!seen.has(maker)) queue.push(maker)
        seen.add(maker)
      }
    }
    return false
  }
  const first = memberships.find(({ owner }) => isCircular(owner))
  if (first === undefined) return []
  return [{ path: first.path, message: `${first.owner} would be made of itself` }]
}

function fileSystemFaults(layout: Layout): readonly LayoutFault[] {
  const faults: LayoutFault[] = []
  const mounted = new Set<string>()
  for (const { fileSystem, path, name } of listDevices(layout)) {
    if (fileSystem === null) continue
    faults.push(...checkFileSystem(fileSystem, path))
    const { mountPoint, subvolumes } = fileSystem
    for (const at of [mountPoint, ...subvolumes.map((one) => one.mountPoint)]) {
      if (at === null) continue
      if (mounted.has(at))
        faults.push({ path, message: `${name} is not the first to be mounted on ${at}` })
      mounted.add(at)
    }
  }
  if (!mounted.has('/')) faults.push({ path: ['disks'], message: 'nothing is mounted on /' })
  return faults
}
