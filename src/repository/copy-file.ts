// One file copied as cheaply as the file systems allow: as a clone that shares its blocks (btrfs, xfs), inside
// the kernel or the storage (copy_file_range), else by reading and writing. Invariant: the copy has every
// byte, or the error says why not; it is not flushed.
import { constants, copyFile as cloneFile, open } from 'node:fs/promises'
import { throwIfAborted } from '../core/core.ts'
import { copyFileRange } from '../host/host.ts'

/** A step that can be interrupted and seen in a progress bar. */
const STEP_BYTES = 32 * 2 ** 20
const BUFFER_BYTES = 2 ** 20

export interface CopyFileOptions {
  readonly onBytes?: ((bytes: number) => void) | undefined
  readonly signal?: AbortSignal | undefined
}

/** `to` must not exist; on failure it is left for the caller to remove. */
export async function copyFile(
  from: string,
  to: string,
  options: CopyFileOptions = {},
): Promise<void> {
  throwIfAborted(options.signal)
  const isCloned = await cloneFile(
    from,
    to,
    constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE_FORCE,
  ).then(
    () => true,
    () => false, // what is a real fault shows again below
  )
  if (!isCloned) await copyBytes(from, to, options)
}

async function copyBytes(
  from: string,
  to: string,
  { onBytes, signal }: CopyFileOptions,
): Promise<void> {
  await using source = await open(from, 'r')
  await using target = await open(to, 'wx')
  let position = 0
  for (;;) {
    throwIfAborted(signal)
    const copied = await copyFileRange(source.fd, target.fd, STEP_BYTES)
    // 0 is the end, and what some file systems answer instead of an error.
    if (copied === undefined || copied === 0) break
    position += copied
    onBytes?.(copied)
  }
  const buffer = Buffer.allocUnsafe(BUFFER_BYTES)
  for (;;) {
    throwIfAborted(signal)
    const { bytesRead } = await source.read(buffer, 0, buffer.length, position)
    if (bytesRead === 0) return
    for (let done = 0; done < bytesRead;) {
      const { bytesWritten } = await target.write(buffer, done, bytesRead - done, position + done)
      done += bytesWritten
    }
    position += bytesRead
    onBytes?.(bytesRead)
  }
}
