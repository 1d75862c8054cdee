// A small Debian that boots by itself from whatever it is deployed to: kernel, GRUB for BIOS and UEFI with shim, and
// what its initramfs needs for RAID, LVM and LUKS. Nothing of it runs here; machines under test boot it.
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { run } from '../../src/host/host.ts'
import { buildDebian, PACK_TARBALL, type DebianRecipe } from './debian-tree.ts'
import { type Scope } from './scope.ts'

const PACKAGES = [
  ...['linux-image-cloud-amd64', 'initramfs-tools', 'zstd', 'systemd-sysv', 'udev', 'dbus'],
  ...['grub-pc', 'grub-pc-bin', 'grub-efi-amd64-bin', 'efibootmgr'],
  ...['grub-efi-amd64-signed', 'shim-signed'],
  ...['mdadm', 'lvm2', 'cryptsetup-initramfs', 'e2fsprogs', 'dosfstools'],
]

/** Folders of modules that no virtual disk, file system or layer of storage needs: most of what an initramfs would hold. */
const UNUSED_MODULES = [
  ...['net', 'drivers/net', 'drivers/infiniband', 'drivers/target', 'drivers/gpu', 'drivers/hv'],
  ...['drivers/scsi', 'drivers/vfio', 'drivers/usb', 'arch/x86/kvm', 'sound'],
  ...['fs/xfs', 'fs/btrfs', 'fs/nfs', 'fs/smb', 'fs/nfsd', 'fs/ceph'],
  ...['fs/f2fs', 'fs/jfs', 'fs/ocfs2'],
]

/**
 * Everything on the serial console, which is what a test can read. Nothing that nobody reads there, and an initramfs that an
 * emulated processor makes and unpacks soon.
 */
const PACK = `
cat >"$1/etc/default/grub" <<'END'
GRUB_TIMEOUT=0
GRUB_DISTRIBUTOR=Debian
GRUB_CMDLINE_LINUX="console=ttyS0 mitigations=off no_timer_check"
GRUB_TERMINAL=serial
END
ln -s /lib/systemd/system/systemd-networkd.service "$1/etc/systemd/system/multi-user.target.wants/"
rm -rf "$1"/usr/share/doc/* "$1"/usr/share/man/* "$1"/usr/share/locale/* "$1"/usr/share/info/*
rm -rf "$1"/usr/lib/udev/hwdb.* "$1"/usr/lib/grub/x86_64-efi/monolithic "$1"/usr/share/zoneinfo
for folder in ${UNUSED_MODULES.join(' ')}; do rm -rf "$1"/usr/lib/modules/*/kernel/$folder; done
chroot "$1" sh -euc 'depmod "$(ls /usr/lib/modules)"'
printf 'COMPRESS=gzip\\nCOMPRESSLEVEL=1\\n' >"$1/etc/initramfs-tools/conf.d/lab"
chroot "$1" update-initramfs -u -k all >&2
${PACK_TARBALL}`

const RECIPE: DebianRecipe = {
  ...{ name: 'bootable', suffix: '.tar.zst', packages: PACKAGES, pack: PACK },
}

/** The root of such a system in the scope's folder. The first time on a machine it takes a minute or two. */
export async function bootableSystem(scope: Scope): Promise<string> {
  const tarball = await buildDebian(scope, RECIPE, () => {})
  const tree = join(scope.directory, 'golden')
  await mkdir(tree)
  await run('tar', ['--extract', '--file', tarball, '--numeric-owner', '--directory', tree])
  return tree
}
