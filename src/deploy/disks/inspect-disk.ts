// One disk before a deployment: is it a disk, is it free, what is on it. Nothing is changed.
import { constants } from 'node:fs'
import { mkdir, open, type FileHandle } from 'node:fs/promises'
import { basename } from 'node:path'
import { messageOf, SiError } from '../../core/core.ts'
import {
  flock,
  readBlockDevice,
  readDiskUses,
  readPartitionTable,
  readSignature,
  readStack,
  type BlockDevice,
} from '../../host/host.ts'
import type { TargetDisk } from './disk-plan.ts'

/** Locks and mount points of running deployments; gone after a boot, as they are. */
export const RUN_DIRECTORY = '/run/swarmimager'

/** Throws ERR_SI_TARGET_UNSUITABLE unless the path is a whole disk that can be written to. */
export async function findDisk(path: string, imageName: string): Promise<BlockDevice> {
  const device = await readBlockDevice(path).catch((error: unknown) => {
    throw unsuitable(path, imageName, { why: messageOf(error) })
  })
  if (device.kind === 'other') {
    throw unsuitable(path, imageName, { why: 'it is no block device', hint: 'Name a disk' })
  }
  if (device.kind === 'partition') {
    const hint = 'Name the whole disk, such as /dev/sda'
    throw unsuitable(path, imageName, { why: 'it is a partition', hint })
  }
  if (device.isReadOnly) throw unsuitable(path, imageName, { why: 'it is read-only' })
  if (device.sizeBytes === 0) throw unsuitable(path, imageName, { why: 'it has no medium' })
  return device
}

/**
 * What is on a disk. Throws ERR_SI_TARGET_UNSUITABLE when it, or an array or volume on it, is in use or
 * reaches beyond the disks of this deployment (their paths).
 */
export async function inspectDisk(
  device: BlockDevice,
  imageName: string,
  how: { readonly disks: readonly string[]; readonly signal: AbortSignal },
): Promise<TargetDisk> {
  const { signal } = how
  const stack = await readStack(basename(device.path), signal)
  const uses = await readDiskUses(device, stack)
  if (uses.length > 0) {
    const hint = 'Choose another disk, or unmount it'
    throw unsuitable(device.path, imageName, { why: `it is ${uses.join(', ')}`, hint })
  }
  for (const { name, disks } of stack) {
    const other = disks.find((disk) => !how.disks.includes(`/dev/${disk}`))
    if (other === undefined) continue
    const why = `${name} on it is also on /dev/${other}, which is not to be erased`
    const hint = `Stop ${name} first, or deploy to all of its disks`
    throw unsuitable(device.path, imageName, { why, hint })
  }
  const existing = {
    table: await readPartitionTable(device, signal),
    signature: await readSignature(device.path, undefined, signal),
  }
  return { device, existing, stack }
}

function unsuitable(
  path: string,
  imageName: string,
  { why, hint }: { readonly why: string; readonly hint?: string },
): SiError {
  const message = `Cannot deploy image "${imageName}" to ${path}: ${why}`
  return new SiError('ERR_SI_TARGET_UNSUITABLE', message, { hint })
}

/** Throws ERR_SI_TARGET_BUSY while another process fills this disk. */
export async function lockDisk(device: BlockDevice): Promise<FileHandle> {
  await mkdir(RUN_DIRECTORY, { recursive: true, mode: 0o700 })
  const path = `${RUN_DIRECTORY}/${basename(device.path)}.lock`
  const file = await open(path, constants.O_RDWR | constants.O_CREAT, 0o600)
  if (flock(file.fd, 'exclusive')) return file
  await file.close()
  throw new SiError('ERR_SI_TARGET_BUSY', `Another deployment is writing to ${device.path}`, {
    hint: 'Wait until it has ended',
  })
}
