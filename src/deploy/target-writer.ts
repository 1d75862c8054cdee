// Puts ranges of the tar where they belong: into the final files, in any order, at most one file open.
// Every file is created 0600 and without following a symlink; one whose data came in one go gets its
// metadata at once, all others are left to the finishing. Synchronous: it runs in piece workers.
import { closeSync, constants, fstatSync, ftruncateSync, openSync } from 'node:fs'
import { crc32 } from 'node:zlib'
import {
  entryPath,
  findSegment,
  isOneSegment,
  visitExtents,
  type EntryTable,
} from './entry-table.ts'
import { setFileMetadata, type NoteLoss } from './entry-metadata.ts'
import { joinPath, withUsablePath } from './target-path.ts'
import { onEntry } from './target-error.ts'
import { writeFully } from './write-fully.ts'

export interface TargetWriterOptions {
  readonly root: Buffer
  readonly table: EntryTable
  /** One byte per entry, shared: set to 1 when a file has its data and its metadata. */
  readonly isFinished: Uint8Array
  readonly noteLoss: NoteLoss
}

export interface TargetWriter {
  /** Writes what belongs to files out of `bytes`, which lie at `tarOffset`. `bytes` is not kept. */
  write(tarOffset: number, bytes: Uint8Array): void
  /**
   * Closes the open file. Always called when a piece ends, failed or not. Returns the CRC-32 of all bytes
   * that were written since the last call, in the order of the tar: what dataChecksum() finds again.
   */
  flush(): number
}

interface OpenFile {
  readonly fd: number
  readonly segment: number
  readonly entry: number
  writtenBytes: number
}

const FIRST_MODE = 0o600
/** Never waits for somebody to read a pipe that stands in a file's place. */
const FLAGS = constants.O_CREAT | constants.O_WRONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK

export function createTargetWriter(options: TargetWriterOptions): TargetWriter {
  const { root, table, isFinished, noteLoss } = options
  const { segmentBytes, segmentEntry } = table
  let open: OpenFile | null = null
  let segment = 0
  let expectedTarOffset = -1
  let checksum = 0

  const close = (): void => {
    if (open === null) return
    const { fd, entry, segment, writtenBytes } = open
    open = null
    try {
      const isWhole = writtenBytes === segmentBytes[segment] && table.isSparse[entry] === 0
      if (!isWhole || !isOneSegment(table, segment)) return
      // A finishing that was interrupted may have made it longer.
      if (fstatSync(fd).size > writtenBytes) ftruncateSync(fd, writtenBytes)
      onEntry(table, entry, () => setFileMetadata(fd, { table, entry }, noteLoss))
      isFinished[entry] = 1
    } finally {
      closeSync(fd)
    }
  }

  const openFor = (segment: number): OpenFile => {
    const entry = segmentEntry[segment] ?? 0
    if (open?.segment === segment) return open
    if (open?.entry === entry) return (open = { ...open, segment, writtenBytes: 0 })
    close()
    const path = joinPath(root, entryPath(table, entry))
    const fd = onEntry(table, entry, () =>
      withUsablePath(path, (usable) => openSync(usable, FLAGS, FIRST_MODE)),
    )
    return (open = { fd, segment, entry, writtenBytes: 0 })
  }

  return {
    write(tarOffset, bytes) {
      const tarEnd = tarOffset + bytes.length
      if (tarOffset !== expectedTarOffset) segment = findSegment(table, tarOffset)
      expectedTarOffset = tarEnd
      segment = visitExtents(table, { segment, tarStart: tarOffset, tarEnd }, (extent) => {
        const file = openFor(extent.segment)
        const from = extent.tarOffset - tarOffset
        const part = bytes.subarray(from, from + extent.lengthBytes)
        checksum = crc32(part, checksum)
        onEntry(table, file.entry, () => writeFully(file.fd, part, extent.fileOffset))
        file.writtenBytes += part.length
      })
    },
    flush() {
      expectedTarOffset = -1
      close()
      const flushed = checksum
      checksum = 0
      return flushed
    },
  }
}
