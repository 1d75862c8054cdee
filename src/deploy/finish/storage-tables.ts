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
  await tree.write('etc/fstab', formatFstab(fstab, { fileSystems, exists }))
  await writeCrypttab(tree, encrypted)
  await tree.remove(LVM_DEVICES)
  const mdadm = tree.isDirectory('etc/mdadm') ? 'etc/mdadm/mdadm.conf' : 'etc/mdadm.conf'
  const golden = await tree.read(mdadm)
  if (arrays.length > 0 || golden !== undefined) {
    await tree.write(mdadm, formatMdadmConf(golden ?? '', arrays))
  }
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
