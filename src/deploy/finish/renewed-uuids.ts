// UUIDs of file systems that are not those of the golden client, and the files where they matter beside fstab: kernel
// command lines and where to resume from.
import type { ManifestHeader } from '../../image/image.ts'
import type { MadeStorage } from '../made-storage.ts'
import { goldenFileSystems } from './initramfs.ts'
import type { TargetTree } from './target-tree.ts'

/** Golden client's UUID → the target's, where they differ: by mount point, swap areas in their order. Pure. */
export function findRenewedUuids(
  header: ManifestHeader,
  storage: MadeStorage,
): ReadonlyMap<string, string> {
  const golden = goldenFileSystems(header)
  const swaps = storage.fileSystems.filter(({ type }) => type === 'swap')
  const renewed = new Map<string, string>()
  for (const { uuid, mountPoint, type } of golden) {
    const made =
      type === 'swap'
        ? swaps.shift()
        : storage.fileSystems.find((made) => mountPoint !== null && made.mountPoint === mountPoint)
    const isOther = made !== undefined && made.uuid.toLowerCase() !== uuid.toLowerCase()
    if (isOther && uuid !== '' && made.uuid !== '') renewed.set(uuid, made.uuid)
  }
  return renewed
}

const FILES = [
  'etc/default/grub',
  'etc/kernel/cmdline',
  'etc/initramfs-tools/conf.d/resume',
  'boot/grub2/grubenv',
]
/** Folders whose files are configuration of the same kind. */
const FOLDERS = ['etc/default/grub.d', 'boot/loader/entries']

export async function replaceUuids(
  tree: TargetTree,
  renewed: ReadonlyMap<string, string>,
): Promise<void> {
  if (renewed.size === 0) return
  const inFolders: string[] = []
  for (const folder of FOLDERS) {
    inFolders.push(...(await tree.list(folder)).map((name) => `${folder}/${name}`))
  }
  for (const path of [...FILES, ...inFolders]) {
    const text = await tree.read(path)
    if (text === undefined) continue
    const replace = (all: string, [old, made]: [string, string]) => all.replaceAll(old, made)
    await tree.write(path, [...renewed].reduce(replace, text))
  }
}
