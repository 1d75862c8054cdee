// Puts ranges of the tar where they belong: into the final files, in any order, at most one file open.
// Every file is created 0600 and without following a symlink; one whose data came in one go gets its
// metadata at once, all others are left to the finishing. Synchronous: it runs in piece workers.
import { closeSync, constants, openSync } from 'node:fs'
import { findSegment, entryPath, isOneSegment, type EntryTable } from './entry-table.ts'
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
  /** Closes the open file. Always called when a piece ends, failed or not. */
  flush(): void
}

interface OpenFile {
  readonly fd: number
  readonly segment: number
  readonly entry: number
  writtenBytes: number
}

const FIRST_MODE = 0o600
const { O_CREAT, O_NOFOLLOW, O_WRONLY } = constants

export function createTargetWriter(options: TargetWriterOptions): TargetWriter {
  const { root, table, isFinished, noteLoss } = options
  const { segmentTarOffset, segmentBytes, segmentEntry, segmentFileOffset, segmentCount } = table
  let open: OpenFile | null = null
  let segment = 0
  let expectedTarOffset = -1

  const close = (): void => {
    if (open === null) return
    const { fd, entry, segment, writtenBytes } = open
    open = null
    try {
      const isWhole = writtenBytes === segmentBytes[segment] && table.isSparse[entry] === 0
      if (!isWhole || !isOneSegment(table, segment)) return
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
    const flags = O_CREAT | O_WRONLY | O_NOFOLLOW
    const fd = onEntry(table, entry, () =>
      withUsablePath(path, (usable) => openSync(usable, flags, FIRST_MODE)),
    )
    return (open = { fd, segment, entry, writtenBytes: 0 })
  }

  return {
    write(tarOffset, bytes) {
      const tarEnd = tarOffset + bytes.length
      if (tarOffset !== expectedTarOffset) segment = findSegment(table, tarOffset)
      expectedTarOffset = tarEnd
      while (segment < segmentCount) {
        const start = segmentTarOffset[segment] ?? 0
        if (start >= tarEnd) return
        const end = start + (segmentBytes[segment] ?? 0)
        const from = Math.max(start, tarOffset)
        const to = Math.min(end, tarEnd)
        const file = openFor(segment)
        const position = (segmentFileOffset[segment] ?? 0) + from - start
        const part = bytes.subarray(from - tarOffset, to - tarOffset)
        onEntry(table, file.entry, () => writeFully(file.fd, part, position))
        file.writtenBytes += part.length
        if (end > tarEnd) return
        segment++
      }
    },
    flush() {
      expectedTarOffset = -1
      close()
    },
  }
}
