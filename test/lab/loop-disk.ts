// Disks that are sparse files behind loop devices, and mounts. Partitions appear as /dev/loopNpM
// only after partx: not every kernel reads partition tables by itself.
import { mkdir, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { run } from '../../src/host/host.ts'
import { type Scope, waitFor } from './scope.ts'

export interface LoopDisk {
  /** Such as /dev/loop3. */
  readonly device: string
  readonly sizeBytes: number
  /** The raw image behind it. */
  readonly file: string
  /** /dev/loop3p1 for 1. */
  partition(number: number): string
}

/** How long a device or mount may stay busy after its last user has gone. */
const BUSY_DEADLINE_MS = 15_000

/** A new empty disk, all zeros. It takes room only for what is written to it. */
export async function createLoopDisk(
  scope: Scope,
  options: { readonly name: string; readonly sizeBytes: number },
): Promise<LoopDisk> {
  const file = join(scope.directory, `${options.name}.disk`)
  await writeFile(file, '')
  await truncate(file, options.sizeBytes)
  return attachLoop(scope, file, options.sizeBytes)
}

/** A loop device on a file that is there. */
export async function attachLoop(scope: Scope, file: string, sizeBytes: number): Promise<LoopDisk> {
  scope.defer(`loop device of ${file}`, () => detachAll(file))
  const { stdout } = await run('losetup', ['--find', '--show', file], { signal: scope.signal })
  const device = stdout.trim()
  return { device, sizeBytes, file, partition: (number) => `${device}p${number}` }
}

/** Makes the partitions of the disk's table appear as devices. */
export async function showPartitions(disk: LoopDisk): Promise<void> {
  await run('partx', ['--update', disk.device])
}

async function detachAll(file: string): Promise<void> {
  const { stdout } = await run('losetup', ['--noheadings', '--output', 'NAME', '-j', file])
  for (const device of stdout.split('\n').filter((line) => line !== '')) {
    await run('partx', ['--delete', device], { okExitCodes: [0, 1] })
    await run('losetup', ['--detach', device])
    await waitFor(
      `the release of ${device}`,
      async () => (await run('losetup', ['-j', file])).stdout === '',
      { deadlineMs: BUSY_DEADLINE_MS },
    )
  }
}

export interface MountOptions {
  /** For `tmpfs` any word. */
  readonly device: string
  readonly at: string
  /** Found out from the device when left out. */
  readonly type?: string
  readonly options?: readonly string[]
}

/** Mounts a device on a folder, which is made when absent. */
export async function mountDevice(scope: Scope, options: MountOptions): Promise<void> {
  await shareMounts(scope)
  await mkdir(options.at, { recursive: true })
  scope.defer(`mount ${options.at}`, () => unmount(options.at))
  const type = options.type === undefined ? [] : ['-t', options.type]
  const flags = options.options === undefined ? [] : ['-o', options.options.join(',')]
  await run('mount', [...type, ...flags, options.device, options.at], { signal: scope.signal })
}

const sharing = new WeakSet<Scope>()

/**
 * Programs in mount namespaces of their own (`ip netns exec` makes one each time) have copies of our
 * mounts. Below a shared mount our unmounting reaches the copies too; otherwise they would keep the
 * disks busy for as long as any such program lives, those of other runs included.
 */
async function shareMounts(scope: Scope): Promise<void> {
  if (sharing.has(scope)) return
  sharing.add(scope)
  const { directory } = scope
  scope.defer(`mount ${directory}`, () => unmount(directory))
  await run('mount', ['--bind', '--make-private', directory, directory])
  await run('mount', ['--make-shared', directory])
}

async function unmount(directory: string): Promise<void> {
  const isMounted = async () =>
    (await run('mountpoint', ['--quiet', directory], { okExitCodes: [0, 1, 32] })).exitCode === 0
  if (!(await isMounted())) return
  await waitFor(
    `unmounting ${directory}`,
    async () => {
      await run('umount', [directory], { okExitCodes: [0, 32] })
      return !(await isMounted())
    },
    { deadlineMs: BUSY_DEADLINE_MS },
  )
}
