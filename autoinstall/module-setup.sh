#!/bin/sh
# dracut module "swarmimager": what a machine needs to deploy an image to itself. dracut sources this file.
# si_payload is a tree that si-mkautoinstall made (program, koffi, certificates), si_node the Node that an archive
# of its own brings. Invariant: programs come from this machine, the kernel's modules from the image alone.
: "${initdir:=}" "${moddir:=}" # dracut sets both

check() {
  # Never by itself: si-mkautoinstall asks for it.
  return 255
}

depends() {
  echo udev-rules
}

# -o: what this kernel does not have, or has built in, is no fault.
installkernel() {
  # The network: wired cards, and what virtual machines have.
  hostonly='' dracut_instmods -o \
    '=drivers/net/ethernet' '=drivers/net/phy' '=drivers/net/mdio' '=drivers/net/pcs' \
    '=drivers/net/usb' '=drivers/net/hyperv' '=drivers/net/vmxnet3' \
    virtio_net xen-netfront af_packet ipv6 bonding 8021q
  # Disks and what they hang on; software RAID, LVM, encryption.
  hostonly='' dracut_instmods -o \
    '=drivers/ata' '=drivers/scsi' '=drivers/nvme' '=drivers/block' '=drivers/mmc' '=drivers/md' \
    '=drivers/message' '=drivers/ufs' '=drivers/usb/storage' '=drivers/usb/host' '=drivers/virtio' \
    '=drivers/xen' '=drivers/hv' vmd '=drivers/pci/controller' '=crypto' '=arch/x86/crypto' '=arch/arm64/crypto'
  # File systems, keyboards for a shell, watchdogs.
  hostonly='' dracut_instmods -o \
    ext4 xfs btrfs vfat exfat ntfs3 iso9660 udf loop overlay squashfs fuse efivarfs \
    nls_cp437 nls_iso8859-1 nls_ascii nls_utf8 \
    usbhid hid_generic atkbd i8042 '=drivers/watchdog' qemu_fw_cfg
}

# Libraries that a binary from elsewhere needs.
libraries_of() {
  ldd "$1" | sed -n 's/.*=> \(\/[^ ]*\) .*/\1/p; s/^[[:space:]]*\(\/[^ ]*\) .*/\1/p'
}

install() {
  : "${si_payload:?is set by si-mkautoinstall}" "${si_node:?is set by si-mkautoinstall}"
  cp -a "$si_payload/." "$initdir/"
  find "$si_payload" -name '*.node' >"$initdir/.libraries"
  printf '%s\n' "$si_node" >>"$initdir/.libraries"
  while read -r binary; do
    libraries_of "$binary" | while read -r library; do
      inst "$library"
    done
  done <"$initdir/.libraries"
  rm "$initdir/.libraries"
  inst_script "$moddir/init.sh" /init
  inst_script "$moddir/dhcp-event.sh" /usr/lib/swarmimager/dhcp-event.sh

  # What the program runs. Those of the first list have to be there; busybox's unshare knows too few options.
  inst_multiple busybox sh mount umount chroot unshare mknod ip modprobe depmod udevadm \
    lsblk blkid sfdisk partx wipefs blockdev losetup findmnt mkfs.ext4 mke2fs mkfs.vfat mkswap
  inst_multiple -o mkfs.ext2 mkfs.ext3 mkfs.xfs mkfs.btrfs mkfs.fat \
    mdadm lvm dmsetup cryptsetup kexec efibootmgr tar zstd /etc/mke2fs.conf
  inst_rules 60-block.rules 60-persistent-storage.rules 60-persistent-storage-dm.rules 55-dm.rules \
    63-md-raid-arrays.rules 75-net-description.rules 80-drivers.rules
  for name in pvcreate vgcreate lvcreate vgchange lvchange vgs pvs lvs vgremove lvremove pvremove vgscan pvscan; do
    [ ! -e "$initdir/usr/sbin/lvm" ] || ln -sf lvm "$initdir/usr/sbin/$name"
  done

  # Everything else that a shell wants is busybox's.
  for name in $(busybox --list); do
    [ -e "$initdir/usr/bin/$name" ] || [ -e "$initdir/usr/sbin/$name" ] || ln -s busybox "$initdir/usr/bin/$name"
  done
  printf 'root:x:0:0:root:/root:/bin/sh\n' >"$initdir/etc/passwd"
  printf 'root:x:0:\ndisk:x:6:\ncdrom:x:24:\ntape:x:26:\nkvm:x:104:\n' >"$initdir/etc/group"
  printf 'passwd: files\ngroup: files\nhosts: files dns\n' >"$initdir/etc/nsswitch.conf"
}
