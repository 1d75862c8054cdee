#!/bin/sh
# PID 1 of the initramfs: makes /proc, /sys and /dev, lets udev load the drivers, and starts si-autoinstall, which
# does everything else. Invariant: when that hangs or crashes, the machine does not stay so: it reboots, or
# opens a shell if si.shell was given.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=linux

mount -t proc -o nosuid,noexec,nodev proc /proc
mount -t sysfs -o nosuid,noexec,nodev sysfs /sys
mount -t devtmpfs -o mode=0755,nosuid devtmpfs /dev 2>/dev/null # some kernels have done it
mkdir -p /dev/pts /dev/shm /run /tmp /root /var/tmp
mount -t devpts -o gid=5,mode=0620 devpts /dev/pts
mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs /dev/shm
mount -t tmpfs -o mode=0755,nosuid,nodev tmpfs /run
mkdir -p /run/lock /run/swarmimager
ln -sf /proc/self/fd /dev/fd
ln -sf /proc/self/mounts /etc/mtab
[ ! -d /sys/firmware/efi ] || mount -t efivarfs efivarfs /sys/firmware/efi/efivars 2>/dev/null
# Lesser messages of the kernel would tear the progress apart; dmesg has them all.
echo 4 >/proc/sys/kernel/printk
ip link set lo up

SYSTEMD_LOG_LEVEL=warning /usr/lib/systemd/systemd-udevd --daemon --resolve-names=never >/dev/null
udevadm trigger --type=subsystems --action=add
udevadm trigger --type=devices --action=add
udevadm settle --timeout=60

uptime_seconds() {
  read -r up _ </proc/uptime
  echo "${up%%.*}"
}

# si-autoinstall writes the uptime of its last sign of life to "alive", and to "patience" how many seconds it may
# stay away. Reboots by the kernel itself: whatever hangs, this works.
watch_over() {
  patience=120
  while sleep 5; do
    [ ! -e /run/swarmimager/patience ] || read -r patience </run/swarmimager/patience
    [ "$patience" -gt 0 ] || continue
    [ -e /run/swarmimager/alive ] || continue
    read -r alive </run/swarmimager/alive || continue
    [ $(($(uptime_seconds) - alive)) -gt "$patience" ] || continue
    printf 'si: no sign of life for %s s: reboot\n' "$patience" >/dev/console
    echo s >/proc/sysrq-trigger
    sleep 2
    echo b >/proc/sysrq-trigger
  done
}
watch_over &
watcher=$!

/usr/bin/si-autoinstall
status=$?
kill "$watcher"
# The kernel's watchdog, if si-autoinstall had armed it: V disarms it.
[ ! -e /dev/watchdog ] || echo V >/dev/watchdog

case " $(cat /proc/cmdline) " in
  *' si.shell '* | *' si.shell=yes '* | *' si.shell=1 '*)
    printf 'si: si-autoinstall ended with status %s; a shell, "exit" reboots\n' "$status"
    setsid -c sh -i || sh
    ;;
  *)
    printf 'si: si-autoinstall ended with status %s; reboot in 60 s (si.shell gives a shell instead)\n' "$status"
    sleep 60
    ;;
esac
sync
reboot -f
