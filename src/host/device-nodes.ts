// Device nodes by path, as mknod(1) would make them again.
import { readdir, realpath, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { errnoOf } from '../core/core.ts'
import { formatDeviceNumber } from './block-device.ts'

export interface DeviceNode {
  readonly path: string
  readonly isBlock: boolean
  readonly major: number
  readonly minor: number
}

/**
 * The nodes of these paths, under the kernel's own name too where a path is a symlink, and those of the
 * partitions of whole disks. Throws Node's ENOENT when one is missing.
 */
export async function readDeviceNodes(paths: readonly string[]): Promise<readonly DeviceNode[]> {
  const nodes = new Map<string, DeviceNode>()
  for (const path of paths) {
    const canonical = await realpath(path)
    const all = [path, canonical, ...(await partitionsOf(canonical))]
    for (const each of all) {
      const info = await stat(each)
      const [major = 0, minor = 0] = formatDeviceNumber(info.rdev).split(':').map(Number)
      nodes.set(each, { path: each, isBlock: info.isBlockDevice(), major, minor })
    }
  }
  return [...nodes.values()]
}

async function partitionsOf(path: string): Promise<readonly string[]> {
  const name = path.replace(/^\/dev\//, '').replaceAll('/', '!') // sysfs writes slashes in names so
  const found = await readdir(join('/sys/class/block', name)).catch((error: unknown) => {
    if (errnoOf(error) === 'ENOENT') return []
    throw error
  })
  return found
    .filter((entry) => entry.startsWith(name) && /^p?\d+$/.test(entry.slice(name.length)))
    .map((entry) => `/dev/${entry.replaceAll('!', '/')}`)
}
