// Names of files that outlive descriptors, renames and the process: name_to_handle_at(2) and
// open_by_handle_at(2). A handle names one file for as long as it exists, never a later one with its inode.
import { check, lastError, libc } from './libc.ts'

const c = {
  nameToHandleAt: libc.func(
    'int name_to_handle_at(int, const char *, _Inout_ uint8_t *, _Out_ int *, int)',
  ),
  openByHandleAt: libc.func('int open_by_handle_at(int, const uint8_t *, int)'),
}

const AT_EMPTY_PATH = 0x1000
const HEADER_BYTES = 8
/** MAX_HANDLE_SZ. */
const MAXIMUM_BYTES = 128

const room = Buffer.alloc(HEADER_BYTES + MAXIMUM_BYTES)
const mountId = new Int32Array(1)

/**
 * The handle of an open file (O_PATH will do): its type in four bytes, then at most 128 bytes that mean
 * something to its file system only. Throws EOPNOTSUPP where the file system has no handles.
 */
export function fileHandleOf(fd: number): Buffer {
  room.writeUInt32LE(MAXIMUM_BYTES, 0)
  check('name_to_handle_at', c.nameToHandleAt(fd, '', room, mountId, AT_EMPTY_PATH) as number)
  return Buffer.from(room.subarray(4, HEADER_BYTES + room.readUInt32LE(0)))
}

/**
 * Opens the file of a handle. `mountFd` is any open file of its file system, not O_PATH. Throws ESTALE when
 * the file is no more, EPERM without CAP_DAC_READ_SEARCH.
 */
export function openFileHandle(mountFd: number, handle: Uint8Array, flags: number): number {
  const bytes = Buffer.alloc(handle.length + 4)
  bytes.writeUInt32LE(handle.length - 4, 0)
  bytes.set(handle, 4)
  const fd = c.openByHandleAt(mountFd, bytes, flags) as number
  if (fd < 0) throw lastError('open_by_handle_at')
  return fd
}
