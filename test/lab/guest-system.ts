// The system that tests run in inside of a virtual machine: Debian's kernel with md, device-mapper,
// vfat and cgroup v2, systemd, and the programs that the tests of disks, boot loaders and limits need.
// It starts nothing but one service, which runs what the lab shares with it, and switches off.
import { join } from 'node:path'
import { buildDebian, type DebianRecipe } from './debian-tree.ts'
import { type Scope } from './scope.ts'

/** What a test in a guest may run; each is also what setup.sh installs on the machine itself. */
const PACKAGES = [
  ...['acl', 'attr', 'libcap2-bin', 'procps', 'psmisc', 'rsync', 'strace', 'tar', 'zstd'],
  ...['btrfs-progs', 'cryptsetup-bin', 'dosfstools', 'e2fsprogs', 'fdisk', 'lvm2', 'mdadm'],
  ...['mtools', 'util-linux', 'xfsprogs', 'efibootmgr', 'grub-efi-amd64-bin', 'grub-pc-bin'],
  ...['grub2-common', 'dracut-core', 'initramfs-tools', 'kmod', 'linux-image-cloud-amd64'],
  ...['ca-certificates', 'curl', 'iproute2', 'openssh-client', 'openssh-server', 'openssl'],
  ...['dbus', 'systemd-sysv', 'udev'],
]

/** The disk has NVMe as its bus and ext4: both are built into Debian's cloud kernel. */
const PACK = `
tree=$1 result=$2
cat >"$tree/etc/systemd/system/lab-guest.service" <<'END'
[Unit]
Description=The command that the lab sends
SuccessAction=poweroff-force
FailureAction=poweroff-force
[Service]
Type=oneshot
ExecStartPre=/bin/mkdir -p /run/lab
ExecStartPre=/bin/mount -t virtiofs lab /run/lab
ExecStart=/bin/sh /run/lab/main
TimeoutStartSec=infinity
END
echo guest >"$tree/etc/hostname"
echo '127.0.0.1 localhost guest' >"$tree/etc/hosts"
: >"$tree/etc/fstab"
mkdir "$result"
cp "$tree"/boot/vmlinuz-* "$result/vmlinuz"
mke2fs -q -t ext4 -d "$tree" -L guest "$result/disk" 8G
`

const RECIPE: DebianRecipe = { name: 'guest', suffix: '', packages: PACKAGES, pack: PACK }

/** A raw disk image with an ext4 file system on the whole of it, and its kernel. */
export interface GuestSystem {
  readonly disk: string
  readonly kernel: string
}

/** Makes the system when this machine has none, which takes two or three minutes. */
export async function guestSystem(scope: Scope, say: (text: string) => void): Promise<GuestSystem> {
  const folder = await buildDebian(scope, RECIPE, say)
  return { disk: join(folder, 'disk'), kernel: join(folder, 'vmlinuz') }
}
