// Whether the image's initramfs fits the target, and making it anew with the image's own program. One that was made on the
// golden client finds its root there by UUID; making it takes longer than all other steps together.
import type { LayoutFileSystem, ManifestHeader } from '../../image/image.ts'
import type { MadeStorage } from '../made-storage.ts'
import type { InitramfsMaker } from './image-features.ts'
import type { TargetSystem } from './target-system.ts'

export interface InitramfsFacts {
  readonly header: ManifestHeader
  readonly storage: MadeStorage
  readonly maker: InitramfsMaker
  /** Golden client's UUIDs that are others here. */
  readonly renewed: ReadonlyMap<string, string>
  /** /etc/initramfs-tools/initramfs.conf. */
  readonly configuration: string
}

const COMPOUND = new Set(['LVM2_member', 'linux_raid_member', 'crypto_LUKS', 'bcache'])

/** Why the initramfs must be made anew; null: it fits. Pure. */
export function reasonForInitramfs(facts: InitramfsFacts): string | null {
  const { header, storage, maker, renewed, configuration } = facts
  const { arrays, volumeGroups, encrypted } = storage
  const layouts = goldenFileSystems(header)
  if (header.layout === null) return 'the image does not tell what it was made for'
  if (arrays.length + volumeGroups.length + encrypted.length > 0) return 'RAID, LVM or encryption'
  if (layouts.some(({ type }) => COMPOUND.has(type))) return 'the golden client had other storage'
  if (renewed.size > 0) return 'file systems have new UUIDs'
  if (maker === 'dracut') return 'dracut makes it for the machine that it runs on'
  if (/^\s*MODULES=dep/m.test(configuration)) return 'it has the drivers of one machine only'
  const types = new Set(layouts.map(({ type }) => type))
  return storage.fileSystems.some(({ type }) => !types.has(type)) ? 'other file systems' : null
}

export async function makeInitramfs(system: TargetSystem, maker: InitramfsMaker): Promise<void> {
  if (maker === 'update-initramfs') await system.run(maker, ['-u', '-k', 'all'])
  else await system.run(maker, ['--force', '--no-hostonly', '--regenerate-all', '--quiet'])
}

export function goldenFileSystems({ layout }: ManifestHeader): readonly LayoutFileSystem[] {
  if (layout === null) return []
  const { disks, arrays = [], encrypted = [], volumeGroups = [] } = layout
  const holders = [
    ...disks.flatMap((disk) => [disk, ...disk.partitions]),
    ...[...arrays, ...encrypted, ...volumeGroups.flatMap(({ volumes }) => volumes)],
  ]
  return holders.flatMap(({ fileSystem }) => fileSystem ?? [])
}
