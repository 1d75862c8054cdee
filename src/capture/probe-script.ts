// The one script that asks a golden client about itself. POSIX sh (dash, busybox); a missing program
// only leaves its section with an exit status. Invariant: it changes nothing and waits for no network
// file system. Output: sections `MARK name`, bytes, `MARK = status`.

/** Shell text → one word, whatever it holds. */
export function quoteForShell(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`
}

/** lsblk columns asked for; all exist since util-linux 2.27 (2015). */
export const LSBLK_COLUMNS = 'KNAME,NAME,PKNAME,TYPE,MAJ:MIN,SIZE,LOG-SEC,RM'

/**
 * The script for the tree at `root`. `mark` must not occur in the output by chance; whatever a login
 * shell prints before the first mark is told apart by it.
 */
export function probeScript(root: string, mark: string): string {
  return `LC_ALL=C PATH="$PATH:/usr/sbin:/sbin:/usr/local/sbin"
export LC_ALL PATH
mark=${quoteForShell(mark)} root=${quoteForShell(root === '/' ? '' : root)}
section() {
  printf '%s %s\\n' "$mark" "$1"
  shift
  "$@" 2>/dev/null </dev/null
  printf '\\n%s = %s\\n' "$mark" "$?"
}
first() {
  for file in "$@"; do
    [ -e "$file" ] && { cat "$file"; return; }
  done
  return 1
}
section uid id -u
section architecture uname -m
section kernel uname -r
section host uname -n
section hostname cat "$root/etc/hostname"
section modules ls "$root/lib/modules"
section tar tar --version
section find find --version
section os-release first "$root/etc/os-release" "$root/usr/lib/os-release"
section fstab cat "$root/etc/fstab"
section efi test -d /sys/firmware/efi
section mounts cat /proc/self/mountinfo
section swaps cat /proc/swaps
section df df -P -B1 -l -a
section lsblk lsblk -J -b -o ${LSBLK_COLUMNS}
section lvs lvs --reportformat json --units b --nosuffix -o vg_name,lv_name,lv_dm_path,lv_size,lv_attr,vg_size,vg_free
section pvs pvs --reportformat json -o pv_name,vg_name
seen=' '
lsblk -n -l -o TYPE,KNAME,PKNAME 2>/dev/null </dev/null | while read -r type name disk; do
  case $type in
    disk | loop | part | lvm | crypt | linear | raid*) ;;
    *) continue ;;
  esac
  case $seen in *" $name "*) continue ;; esac
  seen="$seen$name "
  section "blkid $name" blkid -p -o export "/dev/$name"
  case $type in raid*) section "mdadm $name" mdadm --detail --export "/dev/$name" ;; esac
  [ "$type" = part ] && [ -n "$disk" ] || continue
  case $seen in *" table-$disk "*) continue ;; esac
  seen="\${seen}table-$disk "
  section "sfdisk $disk" sfdisk --json "/dev/$disk"
done
section end true
`
}
