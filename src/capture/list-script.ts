// The command that lists the golden client's tree: find(1), one record for each object, ended by NUL, in
// the order in which find meets them (parents before children). Spec: find(1) -printf; GNU find ≥ 4.3.
import { toMember } from './excludes.ts'
import { quoteForShell } from './probe-script.ts'

/** Marks the record that begins a mount point's listing, and the one that ends the whole list. */
export const START_MARK = '@'
export const END_MARK = '='
/** Begins the record that holds the golden client's time when the listing began, in seconds. */
export const TIME_MARK = '#'

/** Depth, type, size, 512-byte blocks, device, inode, links, ctime, name. A name is bytes without a slash. */
const RECORD = '%d %y %s %b %D %i %n %C@ %f\\0'

/** The script for `sh -s`. Mount points are relative to the root, parents first, `/` the root itself. */
export function listScript(root: string, mountPoints: readonly string[]): string {
  const lists = mountPoints.map((point) => `list ${quoteForShell(toMember(point))}`)
  return `LC_ALL=C
export LC_ALL
cd ${quoteForShell(root)} || exit 1
list() {
  printf '${START_MARK}\\000'
  find "$1" -xdev -printf '${RECORD}' </dev/null
}
printf '${TIME_MARK}%s\\000' "$(date +%s)"
${lists.join('\n')}
printf '${END_MARK}\\000'
`
}
