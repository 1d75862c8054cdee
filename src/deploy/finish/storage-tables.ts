// Writes the tables that name the target's storage: fstab always, crypttab and mdadm.conf where they matter or the golden
// client had them. LVM's own list of disks goes.
import type { MadeEncryption, MadeStorage } from '../made-storage.ts'
import { formatCrypttab, formatKeyPattern, formatMdadmConf } from './disk-tables.ts'
import { formatFstab } from './fstab.ts'
import type { TargetTree } from './target-tree.ts'

/** lvmdevices(8): names the golden client's disks, and no others would be looked at; without it all are. */
const LVM_DEVICES = 'etc/lvm/devices/system.devices'

const KEY_PATTERN = 'etc/cryptsetup-initramfs/conf-hook'

export async function writeStorageTables(
  tree: TargetTree,
  storage: MadeStorage | null,
): Promise<void> {
  if (storage === null) return
  const { fileSystems, arrays, encrypted } = storage
  const exists = (path: string) => tree.exists(path)
  const fstab = (await tree.read('etc/fstab')) ?? ''
  const dispensable = findDispensable(storage)
  await tree.write('etc/fstab', formatFstab(fstab, { fileSystems, dispensable, exists }))
  for (const { mountPoint } of fileSystems) {
    // A kept partition was not mounted, and the image need not have its mount point.
    if (mountPoint !== null) await tree.makeDirectory(mountPoint.slice(1))
  }
  await writeCrypttab(tree, encrypted)
  await tree.remove(LVM_DEVICES)
  const mdadm = tree.isDirectory('etc/mdadm') ? 'etc/mdadm/mdadm.conf' : 'etc/mdadm.conf'
  const golden = await tree.read(mdadm)
  if (arrays.length > 0 || golden !== undefined) {
    await tree.write(mdadm, formatMdadmConf(golden ?? '', arrays))
  }
}

/** The EFI system partitions of a machine whose /boot is on RAID: when that of one disk is lost, another has booted it. */
function findDispensable(storage: MadeStorage): ReadonlySet<string> {
  const efi = storage.disks.flatMap(({ efiPartitions }) => efiPartitions)
  const isMirrored = storage.arrays.some(({ level }) => level !== 'raid0')
  const own = efi.filter(({ device, partition }) => device === partition)
  return new Set(isMirrored && own.length > 1 ? own.map(({ device }) => device) : [])
}

async function writeCrypttab(
  tree: TargetTree,
  encrypted: readonly MadeEncryption[],
): Promise<void> {
  const crypttab = await tree.read('etc/crypttab')
  if (encrypted.length === 0 && crypttab === undefined) return
  await tree.write('etc/crypttab', formatCrypttab(crypttab ?? '', encrypted))
  const keyFiles = encrypted.flatMap(({ keyFile }) => keyFile ?? [])
  if (keyFiles.length === 0 || !tree.exists(KEY_PATTERN)) return
  // Whoever can read the initramfs could read the key file as well.
  const pattern = formatKeyPattern((await tree.read(KEY_PATTERN)) ?? '', keyFiles)
  await tree.write(KEY_PATTERN, pattern)
  await tree.write('etc/initramfs-tools/conf.d/umask', 'UMASK=0077\n')
}
