// What stands on a disk: arrays and mapped devices that the kernel has assembled of it, seen through the `holders`
// of /sys/class/block. Invariant: nothing in use is released; mdadm and dmsetup refuse it themselves, too.
import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { readSignature, type Signature } from './block-device.ts'
import { run } from './program.ts'

export interface StackedDevice {
  /** Kernel name: md127, dm-0. */
  readonly kernelName: string
  /** For people and dmsetup: `md127`, `vg0-root`. */
  readonly name: string
  readonly path: string
  readonly deviceNumber: string
  /** `raid1` …, `LVM`, `LUKS`, or `mapped`. */
  readonly type: string
  /** Kernel names of the disks below, `sda`. */
  readonly disks: readonly string[]
  readonly signature: Signature | null
}

/** The devices above a disk (its kernel name), the uppermost first. */
export async function readStack(
  disk: string,
  signal?: AbortSignal,
): Promise<readonly StackedDevice[]> {
  const depths = new Map<string, number>()
  const climb = async (name: string, depth: number) => {
    for (const holder of await entries(name, 'holders')) {
      depths.set(holder, Math.max(depth, depths.get(holder) ?? 0))
      await climb(holder, depth + 1)
    }
  }
  for (const name of [disk, ...(await partitionsOf(disk))]) await climb(name, 1)
  const byDepth = [...depths].sort(([, a], [, b]) => b - a)
  return Promise.all(byDepth.map(([name]) => readStacked(name, signal)))
}

/** Stops and removes those of them that are there, in this order. Throws ERR_SI_PROGRAM_FAILED when one is in use. */
export async function releaseStack(
  stack: readonly StackedDevice[],
  signal: AbortSignal,
): Promise<void> {
  for (const { name, path, kernelName } of stack) {
    if (!existsSync(join('/sys/class/block', kernelName))) continue
    if (kernelName.startsWith('md')) await run('mdadm', ['--stop', path], { signal })
    else await run('dmsetup', ['remove', '--retry', name], { signal })
  }
}

async function readStacked(kernelName: string, signal?: AbortSignal): Promise<StackedDevice> {
  const read = async (file: string) => {
    const text = await readFile(join('/sys/class/block', kernelName, file), 'utf8').catch(() => '')
    return text.trim()
  }
  const mapped = await read('dm/name')
  const path = `/dev/${kernelName}`
  return {
    ...{ kernelName, name: mapped || kernelName, path, deviceNumber: await read('dev') },
    type: (await read('md/level')) || mappedType(await read('dm/uuid')),
    disks: await disksBelow(kernelName),
    signature: await readSignature(path, undefined, signal).catch(() => null),
  }
}

/** Device mapper's users begin the UUID with their name. */
function mappedType(uuid: string): string {
  if (uuid.startsWith('LVM-')) return 'LVM'
  return uuid.startsWith('CRYPT-') ? 'LUKS' : 'mapped'
}

/** Kernel names of the disks that a device (its kernel name) lies on. */
export async function disksBelow(kernelName: string): Promise<readonly string[]> {
  const slaves = await entries(kernelName, 'slaves')
  if (slaves.length > 0) {
    const below = await Promise.all(slaves.map(disksBelow))
    return [...new Set(below.flat())]
  }
  const disk = await readFile(join('/sys/class/block', kernelName, 'partition'), 'utf8').then(
    async () => await parentOf(kernelName),
    () => kernelName,
  )
  return [disk]
}

async function parentOf(partition: string): Promise<string> {
  for (const disk of await readdir('/sys/block')) {
    if ((await partitionsOf(disk)).includes(partition)) return disk
  }
  return partition
}

async function partitionsOf(disk: string): Promise<readonly string[]> {
  const names = await readdir(join('/sys/class/block', disk)).catch(() => [])
  return names.filter((name) => name.startsWith(disk))
}

async function entries(name: string, folder: string): Promise<readonly string[]> {
  return await readdir(join('/sys/class/block', name, folder)).catch(() => [])
}
