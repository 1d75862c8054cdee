// Where pieces are read from when peers ask for them. Reads are asynchronous: they happen on the
// thread pool, never on the network thread. A store is read-only here; writing is the workers' work.
import { open, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { messageOf, SiError } from '../../core/core.ts'
import { isCached } from '../../host/host.ts'
import { fileRanges, type FileRange, type Metainfo } from '../../torrent/torrent.ts'

/** Bytes of an open file. */
export interface FileSpan {
  readonly fd: number
  readonly positionBytes: number
  readonly lengthBytes: number
  /** Of a file that is nothing but memory. */
  readonly isMemory: boolean
}

export interface PieceStore {
  /**
   * Where bytes of a piece lie in files, in order, if all of them are in memory now and can be sent from there;
   * who is told counts as having read them. Undefined: read() them. Rejects as read() does.
   */
  locate(
    pieceIndex: number,
    offset: number,
    lengthBytes: number,
  ): Promise<readonly FileSpan[] | undefined>
  /** Fills `into` from `offset` within the piece. Rejects when the bytes cannot be had. */
  read(pieceIndex: number, offset: number, into: Uint8Array): Promise<void>
  /** Nothing is read, and nothing sent from a place that locate() told, any more. Idempotent. */
  close(): Promise<void>
}

/**
 * The torrent's files below `directory`, pads read as zeros. Throws ERR_SI_INTEGRITY when a file is
 * missing or has another length than the torrent says.
 */
export async function openFileStore(metainfo: Metainfo, directory: string): Promise<PieceStore> {
  const handles: (FileHandle | undefined)[] = []
  let isClosed = false
  const closeAll = async () => {
    isClosed = true
    await Promise.all(handles.splice(0).map((handle) => handle?.close()))
  }
  try {
    for (const file of metainfo.files) {
      handles.push(file.isPad ? undefined : await openFile(join(directory, ...file.path), file))
    }
  } catch (error) {
    await closeAll()
    throw error
  }
  return {
    locate(pieceIndex, offset, lengthBytes) {
      const start = pieceIndex * metainfo.pieceLengthBytes + offset
      const ranges = fileRanges(metainfo.files, start, lengthBytes)
      return Promise.resolve(cachedSpans(handles, ranges))
    },
    async read(pieceIndex, offset, into) {
      if (isClosed) throw new SiError('ERR_SI_ABORTED', 'The seeded files are closed')
      const start = pieceIndex * metainfo.pieceLengthBytes + offset
      let done = 0
      for (const range of fileRanges(metainfo.files, start, into.length)) {
        const part = into.subarray(done, done + range.lengthBytes)
        const handle = handles[range.fileIndex]
        if (handle === undefined) part.fill(0)
        else await readFully(handle, part, range.offsetBytes)
        done += range.lengthBytes
      }
    },
    close: closeAll,
  }
}

/** Undefined when one of the ranges is a pad, or not in memory. */
function cachedSpans(
  handles: readonly (FileHandle | undefined)[],
  ranges: readonly FileRange[],
): FileSpan[] | undefined {
  const spans: FileSpan[] = []
  for (const { fileIndex, offsetBytes: positionBytes, lengthBytes } of ranges) {
    const fd = handles[fileIndex]?.fd
    if (fd === undefined) return undefined
    const span = { fd, positionBytes, lengthBytes, isMemory: false }
    if (!isCached(fd, span)) return undefined
    spans.push(span)
  }
  return spans
}

async function openFile(path: string, file: { readonly lengthBytes: number }): Promise<FileHandle> {
  let handle: FileHandle
  try {
    handle = await open(path, 'r')
  } catch (error) {
    throw new SiError('ERR_SI_INTEGRITY', `Cannot seed ${path}: ${messageOf(error)}`, {
      cause: error,
    })
  }
  const { size } = await handle.stat()
  if (size === file.lengthBytes) return handle
  await handle.close()
  throw new SiError(
    'ERR_SI_INTEGRITY',
    `Cannot seed ${path}: it has ${size} bytes, the torrent says ${file.lengthBytes}`,
  )
}

async function readFully(handle: FileHandle, into: Uint8Array, position: number): Promise<void> {
  let done = 0
  while (done < into.length) {
    const { bytesRead } = await handle.read(into, done, into.length - done, position + done)
    if (bytesRead === 0) throw new SiError('ERR_SI_INTEGRITY', 'A seeded file became shorter')
    done += bytesRead
  }
}
