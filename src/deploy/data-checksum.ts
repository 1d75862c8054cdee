// What a target holds of a range of the tar, as one number: the CRC-32 of its file data in the order of the
// tar. Compared with the one that was taken while it was written, it tells whether a machine that lost power
// still has what its journal says. Synchronous: a worker's task. Nothing is written.
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'
import { crc32 } from 'node:zlib'
import { errnoOf } from '../core/core.ts'
import {
  entryPath,
  findSegment,
  visitExtents,
  type EntryTable,
  type Extent,
} from './entry-table.ts'
import { joinPath, withUsablePath } from './target-path.ts'

const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants
const READ_BYTES = 256 * 1024

/** One per thread; nothing in it outlives a call. */
const buffer = Buffer.allocUnsafeSlow(READ_BYTES)

/** undefined when a file is missing, too short, no file, or cannot be read: then its data is lost. */
export function dataChecksum(
  root: Buffer,
  table: EntryTable,
  range: { readonly start: number; readonly end: number },
): number | undefined {
  let open: { readonly fd: number; readonly entry: number } | undefined
  let checksum = 0
  const read = ({ segment, fileOffset, lengthBytes }: Extent) => {
    const entry = table.segmentEntry[segment] ?? 0
    if (open?.entry !== entry) {
      if (open !== undefined) closeSync(open.fd)
      open = undefined // whatever the next open says, this one is closed
      open = { fd: openFile(root, table, entry), entry }
    }
    checksum = addFile(open.fd, { fileOffset, lengthBytes, checksum })
  }
  const first = { segment: findSegment(table, range.start), tarStart: range.start }
  try {
    visitExtents(table, { ...first, tarEnd: range.end }, read)
    return checksum
  } catch (error) {
    if (errnoOf(error) === undefined) throw error
    return undefined
  } finally {
    if (open !== undefined) closeSync(open.fd)
  }
}

/** Never waits for the other end of a pipe, never follows a link: nothing but a file counts. */
function openFile(root: Buffer, table: EntryTable, entry: number): number {
  const path = joinPath(root, entryPath(table, entry))
  const flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK
  const fd = withUsablePath(path, (usable) => openSync(usable, flags))
  if (fstatSync(fd).isFile()) return fd
  closeSync(fd)
  throw endOfFile()
}

function addFile(
  fd: number,
  from: { readonly fileOffset: number; readonly lengthBytes: number; readonly checksum: number },
): number {
  let { checksum } = from
  for (let done = 0; done < from.lengthBytes;) {
    const wanted = Math.min(READ_BYTES, from.lengthBytes - done)
    const bytesRead = readSync(fd, buffer, 0, wanted, from.fileOffset + done)
    if (bytesRead === 0) throw endOfFile()
    checksum = crc32(buffer.subarray(0, bytesRead), checksum)
    done += bytesRead
  }
  return checksum
}

/** As a system call would say it. */
function endOfFile(): NodeJS.ErrnoException {
  return Object.assign(new Error('the file ends too soon'), { code: 'ENODATA' })
}
