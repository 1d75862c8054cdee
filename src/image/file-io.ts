// Whole reads and writes on file handles: the kernel may do less than it was asked for.
import type { FileHandle } from 'node:fs/promises'
import { SiError } from '../core/core.ts'

/** Writes all of `bytes` at `position`; `bytes` must not change until this resolves. */
export async function writeFully(
  handle: FileHandle,
  bytes: Uint8Array,
  position: number,
): Promise<void> {
  let done = 0
  while (done < bytes.length) {
    const { bytesWritten } = await handle.write(bytes, done, bytes.length - done, position + done)
    done += bytesWritten
  }
}

/** Fills `into` from `position`. Throws ERR_SI_IMAGE_FORMAT when the file ends before that. */
export async function readFully(
  handle: FileHandle,
  into: Uint8Array,
  position: number,
): Promise<void> {
  let done = 0
  while (done < into.length) {
    const { bytesRead } = await handle.read(into, done, into.length - done, position + done)
    if (bytesRead === 0) {
      throw new SiError('ERR_SI_IMAGE_FORMAT', `File ends at byte ${position + done}`)
    }
    done += bytesRead
  }
}
