// Debian's package grub-pc remembers in debconf on which disks it writes GRUB. It would remember those of the golden
// client, and the first upgrade on the target would leave an old GRUB in front of new modules: a machine that no longer boots.
import { listDisks, type DiskFacts } from '../../host/host.ts'
import type { TargetSystem } from './target-system.ts'
import type { TargetTree } from './target-tree.ts'

/** Notes on what could not be told to the package. Nothing is done in an image without it. */
export async function tellGrubPackage(
  disks: readonly string[],
  { tree, system }: { readonly tree: TargetTree; readonly system: TargetSystem },
): Promise<readonly string[]> {
  const isThere = ['usr/bin/debconf-communicate', 'var/lib/dpkg/info/grub-pc.list'].every((path) =>
    tree.exists(path),
  )
  if (!isThere) return []
  const input = formatGrubAnswers(lastingNames(disks, await listDisks()))
  const { stdout } = await system.run('debconf-communicate', ['grub-pc'], { input })
  const failed = stdout.split('\n').find((line) => /^[1-9]/.test(line))
  if (failed === undefined) return []
  return [`grub-pc was not told its disks (debconf: ${failed}): run dpkg-reconfigure grub-pc there`]
}

/** debconf-devel(7); pure. The names are those of the question in grub-pc's templates. */
export function formatGrubAnswers(names: readonly string[]): string {
  return [
    `SET grub-pc/install_devices ${names.join(', ')}`,
    'FSET grub-pc/install_devices seen true',
    'SET grub-pc/install_devices_empty false',
    '',
  ].join('\n')
}

/** Names in /dev/disk/by-id where there are any, as the package itself chooses them; pure. */
export function lastingNames(
  disks: readonly string[],
  present: readonly DiskFacts[],
): readonly string[] {
  return disks.map((path) => {
    const ids = (present.find((disk) => disk.path === path)?.ids ?? []).toSorted()
    const id = ids.find((name) => !/^(wwn-|nvme-eui\.|nvme-nvme\.)/.test(name)) ?? ids[0]
    return id === undefined ? path : `/dev/disk/by-id/${id}`
  })
}
