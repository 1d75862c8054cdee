#!/bin/sh
# Installs SwarmImager and what an image server needs, from a copy of the repository. Argument: its folder. Can be run again.
set -eu
source=${1:?the folder of the repository}
home=/opt/swarmimager
export DEBIAN_FRONTEND=noninteractive
apt-get update --quiet
apt-get install --yes --quiet --no-install-recommends \
  ca-certificates curl npm openssh-client zstd util-linux \
  binutils busybox cpio dnsmasq-base dracut-core iproute2 ipxe kmod udev \
  btrfs-progs cryptsetup-bin dosfstools e2fsprogs efibootmgr fdisk kexec-tools lvm2 mdadm xfsprogs \
  grub-common grub-efi-amd64-bin grub-pc-bin mtools xorriso
mkdir -p "$home"
cp -a "$source/." "$home/"
cd "$home"
npm ci --omit=dev --no-audit --no-fund
# The commands by name; each knows by its own which it is.
sed -n 's/^ *"\(si[a-z-]*\)": "src\/cli\/si".*/\1/p' package.json | while read -r command; do
  ln -sf "$home/src/cli/si" "/usr/local/bin/$command"
done
si --version
