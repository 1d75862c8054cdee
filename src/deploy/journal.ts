// Which pieces have their data on the target's disk, so that an interrupted deployment can go on. A file
// in the target's root: one JSON line that names the image, then one JSON line per batch of pieces, each
// with the checksum of its file data. Invariant: a piece is named only after the file systems that hold
// its data were synced; the last line that names it counts.
import { constants } from 'node:fs'
import { open, readdir, readFile, unlink, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { errnoOf, messageOf, SiError } from '../core/core.ts'
import { flock } from '../host/host.ts'
import type { InfoHash } from '../torrent/torrent.ts'

/** Images may hold no entry of this name in their root. */
export const JOURNAL_NAME = '.swarmimager-journal'

interface JournalHeader {
  readonly format: 'swarmimager-journal'
  readonly formatVersion: 2
  readonly infoHash: string
}

/** CRC-32 of the file data of each piece. */
export type PieceChecksums = ReadonlyMap<number, number>

export interface Journal {
  /** Pieces that earlier runs and this one have recorded, with their checksums. */
  readonly pieces: PieceChecksums
  /** False when it goes on where an earlier run stopped. */
  readonly isNew: boolean
  /** Records pieces; they survive a power cut when this has resolved. */
  append(pieces: PieceChecksums): Promise<void>
  /** Leaves a piece out of `pieces` whose data turned out not to be there, until it is recorded again. */
  forget(piece: number): void
  /** Ends the journal because the tree is complete. */
  remove(): Promise<void>
  close(): Promise<void>
}

/** Info hash that the journal in `directory` belongs to; undefined when there is no readable journal. */
export async function readJournalOwner(directory: string): Promise<string | undefined> {
  const text = await readFile(join(directory, JOURNAL_NAME), 'utf8').catch(() => '')
  return parseJournal(text)?.infoHash
}

/**
 * Opens the journal of this image in `directory`, or begins one. Throws ERR_SI_TARGET_BUSY while
 * another process has it open.
 */
export async function openJournal(
  directory: string,
  owner: { readonly infoHash: InfoHash; readonly pieceCount: number },
): Promise<Journal> {
  const path = join(directory, JOURNAL_NAME)
  const file = await openFile(path)
  try {
    const isTaken = !flock(file.fd, 'exclusive')
    // A journal removed between opening and locking: the other deployment is just ending.
    if (isTaken || (await file.stat()).nlink === 0) {
      throw new SiError('ERR_SI_TARGET_BUSY', `Another deployment is writing to ${directory}`, {
        hint: 'Wait until it has ended',
      })
    }
    const known = parseJournal(await file.readFile('utf8'))
    const isOurs = known?.infoHash === owner.infoHash
    const recorded = isOurs ? known.pieces.filter(([piece]) => piece < owner.pieceCount) : []
    const pieces = new Map(recorded)
    if (!isOurs) await begin(file, directory, owner.infoHash)
    else await file.appendFile('\n') // ends a line that a power cut left unfinished
    return createJournal(file, path, { pieces, isNew: !isOurs })
  } catch (error) {
    await file.close()
    throw error
  }
}

async function openFile(path: string): Promise<FileHandle> {
  const { O_CREAT, O_NOFOLLOW, O_RDWR, O_APPEND } = constants
  try {
    return await open(path, O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW, 0o600)
  } catch (error) {
    throw new SiError(
      'ERR_SI_DEPLOY',
      `Cannot open the journal of the target: ${messageOf(error)}`,
      {
        cause: error,
      },
    )
  }
}

function createJournal(
  file: FileHandle,
  path: string,
  known: { readonly pieces: Map<number, number>; readonly isNew: boolean },
): Journal {
  const { pieces, isNew } = known
  let isOpen = true
  const close = async () => {
    if (isOpen) {
      isOpen = false
      await file.close()
    }
  }
  return {
    pieces,
    isNew,
    async append(added) {
      if (added.size === 0) return
      await file.appendFile(`${JSON.stringify([...added])}\n`)
      await file.datasync()
      for (const [piece, checksum] of added) pieces.set(piece, checksum)
    },
    forget: (piece) => void pieces.delete(piece),
    async remove() {
      await unlink(path)
      await close()
    },
    close,
  }
}

async function begin(file: FileHandle, directory: string, infoHash: InfoHash): Promise<void> {
  const header: JournalHeader = { format: 'swarmimager-journal', formatVersion: 2, infoHash }
  await file.truncate(0)
  await file.appendFile(`${JSON.stringify(header)}\n`)
  await file.sync()
  const folder = await open(directory, 'r')
  await folder.sync().finally(() => folder.close())
}

/** Piece and checksum. */
type PieceRecord = readonly [number, number]

interface ParsedJournal {
  readonly infoHash: string
  /** In the order in which they were recorded; of several for one piece the last counts. */
  readonly pieces: readonly PieceRecord[]
}

/** Lines that cannot be read, such as one cut off by a power failure, are left out. */
export function parseJournal(text: string): ParsedJournal | undefined {
  const [first = '', ...rest] = text.split('\n')
  const header = parseLine(first) as Partial<JournalHeader> | undefined
  if (header?.format !== 'swarmimager-journal' || header.formatVersion !== 2) return undefined
  if (typeof header.infoHash !== 'string') return undefined
  const pieces = rest.flatMap((line) => {
    const value = parseLine(line)
    return Array.isArray(value) && value.every(isPieceRecord) ? value : []
  })
  return { infoHash: header.infoHash, pieces }
}

function isPieceRecord(value: unknown): value is PieceRecord {
  return (
    Array.isArray(value) &&
    value.length === 2 &&
    value.every((number) => Number.isSafeInteger(number) && number >= 0)
  )
}

function parseLine(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch {
    return undefined
  }
}

/** Names in a directory besides those that every fresh target may have. */
export async function foreignNames(directory: string): Promise<readonly string[]> {
  try {
    const names = await readdir(directory)
    return names.filter((name) => name !== 'lost+found' && name !== JOURNAL_NAME)
  } catch (error) {
    if (errnoOf(error) === 'ENOTDIR') return ['.']
    throw error
  }
}
