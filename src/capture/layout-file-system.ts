// A file system of the golden client for its layout. Pure.
import { unescapeOctal } from '../host/host.ts'
import type { LayoutFileSystem } from '../image/image.ts'
import type { BlockDevice } from './block-devices.ts'
import { isMountOf } from './device-stack.ts'
import type { LayoutSource } from './layout.ts'

/** Null for what is no file system and no swap. */
export function buildFileSystem(node: BlockDevice, source: LayoutSource): LayoutFileSystem | null {
  const values = source.devices?.contents.get(node.name) ?? {}
  const { TYPE: type, USAGE: usage } = values
  if (type === undefined || (usage !== 'filesystem' && type !== 'swap')) return null
  const mounts = source.mounts.filter((mount) => isMountOf(mount, node))
  const isPart = ({ fsRoot }: (typeof mounts)[number]) => type === 'btrfs' && fsRoot !== '/'
  const whole = type === 'swap' ? undefined : mounts.find((mount) => !isPart(mount))
  const mountPoint = whole?.mountPoint ?? null
  const subvolumes = mounts.filter(isPart).map(({ fsRoot, mountPoint: at }) => ({
    ...{ path: fsRoot.slice(1), mountPoint: at },
    mountOptions: fstabOptions(source.fstab, at),
  }))
  const [mount] = mounts
  return {
    ...{ type, uuid: values['UUID'] ?? '', label: values['LABEL'] ?? '', mountPoint },
    mountOptions: mountPoint === null ? '' : fstabOptions(source.fstab, mountPoint),
    usedBytes: mount === undefined ? 0 : (source.usedBytes.get(mount.mountPoint) ?? 0),
    ...(subvolumes.length === 0 ? {} : { subvolumes }),
  }
}

/** The fourth field of fstab(5) for a mount point; `defaults` where it is not listed. */
export function fstabOptions(fstab: string, mountPoint: string): string {
  for (const line of fstab.split('\n')) {
    const [device = '', target = '', , options] = line.trim().split(/\s+/)
    if (device === '' || device.startsWith('#')) continue
    if (unescapeOctal(target) === mountPoint && options !== undefined) return options
  }
  return 'defaults'
}
