// The system of a golden client that is a machine: a small Debian with its own kernel, systemd, GRUB for
// BIOS and UEFI, and an ssh server. As a tarball, from which every run makes a disk of its own.
import { buildDebian, PACK_TARBALL } from './debian-tree.ts'
import { type Scope } from './scope.ts'

const PACKAGES = [
  ...['dosfstools', 'e2fsprogs', 'fdisk', 'iproute2', 'kmod', 'openssh-server', 'systemd-sysv'],
  ...['grub-efi-amd64-bin', 'grub-pc-bin', 'grub2-common', 'initramfs-tools', 'udev', 'zstd'],
  ...['efibootmgr', 'linux-image-cloud-amd64'],
]

/**
 * Little to carry, a small initramfs and no waiting: emulated machines load and unpack slowly. Documents, names of hardware
 * and drivers for what no machine of the lab has go.
 */
const CONFIGURE = `
tree=$1
cd "$tree/usr"
rm -rf share/doc/* share/man/* share/info/* share/locale/* lib/udev/hwdb.* lib/*/gconv
cd lib/modules/*/kernel
rm -rf arch/x86/kvm drivers/comedi drivers/infiniband drivers/nvdimm drivers/target drivers/vfio drivers/xen
rm -rf fs/ceph fs/nfs fs/nfsd fs/ocfs2 fs/orangefs fs/smb sound
find net -mindepth 1 -maxdepth 1 ! -name core ! -name packet -exec rm -r {} +
version=$(basename "$(dirname "$PWD")")
cd /
chroot "$tree" depmod "$version"
echo 'MODULES=list' >"$tree/etc/initramfs-tools/conf.d/modules"
printf '%s\\n' virtio_pci virtio_blk virtio_net >>"$tree/etc/initramfs-tools/modules"
cat >"$tree/etc/default/grub" <<'END'
GRUB_TIMEOUT=0
GRUB_DISTRIBUTOR=Debian
GRUB_DISABLE_OS_PROBER=true
GRUB_TERMINAL=serial
GRUB_CMDLINE_LINUX="console=ttyS0 mitigations=off no_timer_check"
END
ln -sf /lib/systemd/system/multi-user.target "$tree/etc/systemd/system/default.target"
for unit in apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer dpkg-db-backup.timer; do
  rm -f "$tree/etc/systemd/system/timers.target.wants/$unit"
done
chroot "$tree" systemctl enable systemd-networkd.service
mount -t proc proc "$tree/proc"
chroot "$tree" update-initramfs -u
umount "$tree/proc"
`

/** Path of the tarball; makes it when this machine has none, which takes a minute or two. */
export function goldenSystem(scope: Scope, say: (text: string) => void): Promise<string> {
  const pack = CONFIGURE + PACK_TARBALL
  return buildDebian(scope, { name: 'golden', suffix: '.tar.zst', packages: PACKAGES, pack }, say)
}
