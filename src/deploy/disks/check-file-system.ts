// Whether a file system can be made as a layout says it: names and numbers go to mkfs as they are, so whatever
// mkfs would refuse, or take for an option, is refused before anything is erased. Pure.
import type { LayoutFault, LayoutPath } from './check-layout.ts'
import type { WantedFileSystem } from './layout.ts'

const GUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i
const VFAT_SERIAL = /^[0-9A-F]{4}-?[0-9A-F]{4}$/i

/** mke2fs(8), mkfs.xfs(8), mkfs.fat(8), mkswap(8), mkfs.btrfs(8). */
const MOST_LABEL_BYTES: Readonly<Record<string, number>> = {
  ...{ ext2: 16, ext3: 16, ext4: 16, xfs: 12, vfat: 11, swap: 15, btrfs: 255 },
}

const MOUNT_POINT = /^\/$|^(\/(?!\.{1,2}(\/|$))[^/\0\n]+)+$/
const SUBVOLUME = /^(?!\.{1,2}(\/|$))[^/\0\s,-][^\0\s,]*$/

export function checkFileSystem(
  fileSystem: WantedFileSystem,
  path: LayoutPath,
): readonly LayoutFault[] {
  const { type, uuid, label, mountPoint, subvolumes } = fileSystem
  const faults: LayoutFault[] = []
  const fault = (key: string, message: string) => faults.push({ path: [...path, key], message })
  const text = (value: string) => JSON.stringify(value)
  if (uuid !== '' && !(type === 'vfat' ? VFAT_SERIAL : GUID).test(uuid)) {
    if (type in MOST_LABEL_BYTES) fault('uuid', `${text(uuid)} is no UUID of ${type}`)
  }
  const most = MOST_LABEL_BYTES[type] ?? Infinity
  if (Buffer.byteLength(label) > most) {
    fault('label', `a label of ${type} has ${most} bytes at most: ${text(label)}`)
  }
  if (label.startsWith('-')) fault('label', `${text(label)} is no label`)
  if (mountPoint !== null && type === 'swap') fault('mount', 'swap is not mounted')
  if (subvolumes.length > 0 && type !== 'btrfs') {
    fault('subvolumes', `${type} has no subvolumes, btrfs has`)
  }
  for (const place of [mountPoint, ...subvolumes.map((one) => one.mountPoint)]) {
    if (place !== null && !MOUNT_POINT.test(place))
      fault('mount', `${text(place)} is no mount point`)
  }
  for (const options of [fileSystem.mountOptions, ...subvolumes.map((one) => one.mountOptions)]) {
    if (/\s/.test(options)) fault('options', `${text(options)} are no mount options`)
  }
  subvolumes.forEach((subvolume, index) => {
    const isTwice = subvolumes.findIndex((other) => other.path === subvolume.path) !== index
    const wrong = !SUBVOLUME.test(subvolume.path) || subvolume.path.split('/').includes('..')
    if (wrong) fault('subvolumes', `${text(subvolume.path)} is no name of a subvolume`)
    else if (isTwice) fault('subvolumes', `subvolume ${subvolume.path} stands twice`)
  })
  return faults
}
