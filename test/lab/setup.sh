#!/bin/sh
# Makes sure that the Debian packages which the demo, the tests and the benchmarks run are installed.
# Installs what is missing when run as root; otherwise says precisely what is missing and exits 1.
# Does nothing else, and takes a few milliseconds when all is there.
set -eu

# Each package and what it is for.
packages='
acl                 setfacl: ACLs on the golden client
apt                 the mirror that the golden client is made from
aria2               a foreign BitTorrent client: interoperability and benchmark
attr                setfattr: extended attributes on the golden client
binutils            strip: Node in the initramfs without symbols
btrfs-progs         mkfs.btrfs: a file system that deploy can make
busybox             shell tools and DHCP client of the initramfs
clustershell        nodeset: reads the groups that si-cluster exports
cpio                the archive of Node in the initramfs
cryptsetup-bin      encrypted disks in the initramfs
curl                fetches over HTTP in tests
dbench              load of a file server: the grid file system
debootstrap         the golden client
dnsmasq-base        DHCP and TFTP: network boot
dosfstools          mkfs.vfat: EFI system partitions
dracut-core         the initramfs that machines install from
e2fsprogs           mkfs.ext4
fdisk               sfdisk: partition tables
fio                 random reads, and data that is verified: the grid file system
grub-common         grub-mkimage, grub-mkrescue: boot media, boot loader of the golden machine
grub-efi-amd64-bin  boot media for UEFI
grub-pc-bin         boot media for BIOS
iproute2            ip, tc: the network of the demo
ipxe                what firmware boots over the network
kexec-tools         kexec: starts the installed kernel without the firmware
kmod                depmod, modprobe: modules in the initramfs
libcap2-bin         setcap: file capabilities on the golden client
lvm2                logical volumes in the initramfs
mdadm               software RAID in the initramfs
mktorrent           torrents made by somebody else
mount               mount, umount, losetup
mtools              files on USB sticks and EFI system partitions, without mounting them
nginx-light         an origin over HTTP: web seed, plain download
openssh-client      ssh, ssh-keygen: capture
openssh-server      sshd: capture tests
openssl             checks certificates and signatures independently
opentracker         a foreign tracker
procps              ps: memory figures
python3-libtorrent  a foreign BitTorrent client, and the engine that ours is measured against
ovmf                UEFI firmware of virtual machines
qemu-system-common  qemu-storage-daemon: a disk that loses what was not flushed; virtiofsd: folders in guests
qemu-system-x86     virtual machines: guests that tests run in, machines that boot
rsync               compares the deployed trees with the golden one
rtorrent            a foreign BitTorrent client
shellcheck          lints the shell scripts
sshfs               what the grid file system is measured against
strace              proves how files are opened
stress-ng           file system calls in odd orders: the grid file system
tar                 GNU tar
time                measures what the benchmarks run
transmission-cli    a second foreign BitTorrent client
transmission-daemon a foreign BitTorrent client under remote control
udev                drivers and names of disks in the initramfs
util-linux          lsblk, blkid, partx, unshare
vagrant             reads the Vagrantfile
xfsprogs            mkfs.xfs
xorriso             ISO images
zstd                reads images without us
'
names=$(printf '%s\n' "$packages" | while read -r name _; do printf '%s ' "$name"; done)

say() { printf 'setup: %s\n' "$*" >&2; }

if ! command -v dpkg-query >/dev/null 2>&1; then
  say "this is not a Debian system; install the equivalents of: $names"
  exit 1
fi

# Prints the packages that are not fully installed.
missing_packages() {
  # shellcheck disable=SC2086 # a list of names
  installed=$(dpkg-query --show --showformat='${db:Status-Status} ${Package}\n' $names 2>/dev/null) || :
  for name in $names; do
    case "
$installed
" in
      *"
installed $name
"*) ;;
      *) printf '%s ' "$name" ;;
    esac
  done
}

missing=$(missing_packages)
[ -n "$missing" ] || exit 0
missing=${missing% }

if [ "$(id -u)" -ne 0 ]; then
  say "missing Debian packages: $missing"
  say "install them with: sudo apt-get install --no-install-recommends $missing"
  exit 1
fi

# No package may start a service: invoke-rc.d asks policy-rc.d, and sshd is not left enabled.
policy=${SI_SETUP_POLICY:-/usr/sbin/policy-rc.d}
made_policy=
cleanup() { [ -z "$made_policy" ] || rm -f "$policy"; }
trap cleanup EXIT
trap 'exit 130' INT TERM HUP
if [ ! -e "$policy" ]; then
  made_policy=yes
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
fi

say "installing: $missing"
export DEBIAN_FRONTEND=noninteractive
apt-get update --quiet >&2
# shellcheck disable=SC2086 # a list of names
apt-get install --yes --quiet --no-install-recommends $missing >&2
case " $missing " in
  *' openssh-server '*)
    if command -v systemctl >/dev/null 2>&1; then
      systemctl disable --quiet ssh.service ssh.socket >/dev/null 2>&1 || :
    fi
    ;;
esac

missing=$(missing_packages)
if [ -n "$missing" ]; then
  say "still missing after the installation: ${missing% }"
  exit 1
fi
say 'done'
