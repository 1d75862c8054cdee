// Which disk to erase when nobody named one. Invariant: never a guess between several.
import { formatSize, SiError } from '../../core/core.ts'
import type { DiskFacts } from '../../host/host.ts'

/** The named disk, or the only fixed one that can be written to. Throws ERR_SI_TARGET_UNSUITABLE. */
export function chooseDisk(named: string | undefined, present: readonly DiskFacts[]): string {
  if (named !== undefined) return named
  const disks = present.filter(isFixed)
  const [disk, ...others] = disks
  if (disk === undefined) throw noDisk()
  if (others.length === 0) return disk.path
  const list = disks.map(({ path, sizeBytes, model }) =>
    [path, formatSize(sizeBytes), model].filter(Boolean).join(' '),
  )
  throw new SiError(
    'ERR_SI_TARGET_UNSUITABLE',
    `Cannot choose among ${disks.length} disks: ${list.join(', ')}`,
    { hint: 'Name one with si.disk=, best by its name below /dev/disk/by-id' },
  )
}

/** Throws ERR_SI_TARGET_UNSUITABLE when there is nothing that any layout could be for. */
export function refuseWithoutDisk(present: readonly DiskFacts[]): void {
  if (present.length === 0) throw noDisk()
}

function isFixed({ isReadOnly, isRemovable }: DiskFacts): boolean {
  return !isReadOnly && !isRemovable
}

function noDisk(): SiError {
  return new SiError('ERR_SI_TARGET_UNSUITABLE', 'Cannot install: this machine has no disk', {
    hint: "Check its cables, and that the image's kernel has the driver of its controller",
  })
}
