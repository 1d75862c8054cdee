// A USB stick as a device: what will be lost, and the image written over it. Invariant: nothing is written to a device that
// is in use, or that is no whole disk.
import { createReadStream } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import { basename, dirname, resolve } from 'node:path'
import { exists, formatSize, messageOf, SiError, throwIfAborted } from '../core/core.ts'
import {
  readBlockDevice,
  readDiskUses,
  readPartitionTable,
  readSignature,
  readStack,
  type BlockDevice,
} from '../host/host.ts'

export interface UsbStick {
  readonly device: BlockDevice
  /** Size and content, for the person who is asked. */
  readonly description: string
}

/** Undefined: the path is, or will be, a file. Throws ERR_SI_TARGET_UNSUITABLE. */
export async function inspectStick(path: string): Promise<UsbStick | undefined> {
  const found = await stat(path).catch(() => undefined)
  if (found === undefined || found.isFile()) {
    if (found === undefined) await checkPlace(path)
    return undefined
  }
  const device = await readBlockDevice(path).catch((error: unknown) => {
    throw unsuitable(path, messageOf(error))
  })
  if (device.kind === 'other') throw unsuitable(path, 'it is neither a file nor a disk')
  if (device.kind === 'partition') throw unsuitable(path, 'it is a partition, not the whole stick')
  if (device.isReadOnly) throw unsuitable(path, 'it is read-only')
  const uses = await readDiskUses(device, await readStack(basename(device.path)))
  if (uses.length > 0) throw unsuitable(path, `it is ${uses.join(', ')}`)
  return { device, description: await describe(device) }
}

/** For a file that is not there yet. A mistyped name in /dev would become a file in memory. */
async function checkPlace(path: string): Promise<void> {
  if (path.startsWith('/dev/')) throw unsuitable(path, 'there is no such device')
  const folder = dirname(resolve(path))
  if (!(await exists(folder))) throw unsuitable(path, `there is no folder ${folder}`)
}

async function describe(device: BlockDevice): Promise<string> {
  const table = await readPartitionTable(device)
  const signature = await readSignature(device.path)
  const parts = (table?.partitions ?? []).map(({ number, sizeBytes, signature: found }) =>
    [`partition ${number}`, formatSize(sizeBytes), found?.type, found?.label]
      .filter(Boolean)
      .join(' '),
  )
  const content = parts.length > 0 ? parts.join(', ') : (signature?.type ?? 'nothing that is known')
  return `${formatSize(device.sizeBytes)}: ${content}`
}

/** Throws ERR_SI_TARGET_UNSUITABLE before anything is written when the image does not fit. */
export async function writeStick(
  image: string,
  { device }: UsbStick,
  signal: AbortSignal,
): Promise<void> {
  const { size } = await stat(image)
  if (size > device.sizeBytes) {
    const need = `it has ${formatSize(device.sizeBytes)}, ${formatSize(size)} are needed`
    throw unsuitable(device.path, need)
  }
  await using file = await open(device.path, 'r+')
  let at = 0
  for await (const bytes of createReadStream(image, { highWaterMark: 2 ** 20 })) {
    throwIfAborted(signal)
    at += (await file.write(bytes as Buffer, 0, (bytes as Buffer).length, at)).bytesWritten
  }
  await file.sync()
}

function unsuitable(path: string, why: string): SiError {
  return new SiError('ERR_SI_TARGET_UNSUITABLE', `Cannot write a medium to ${path}: ${why}`, {
    hint: 'Name a file, or the device of a stick that nobody uses, such as /dev/sdb',
  })
}
