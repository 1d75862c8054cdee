// Where pieces, blocks and files lie. All pieces have the same length but the last; a block is the
// unit that peers ask each other for. Spec: BEP 3, 47.
import { type Metainfo } from './metainfo.ts'

/** What every client may request at once: 16 KiB. */
export const BLOCK_BYTES = 16384

/** Length of one piece; the last may be shorter. */
export function pieceSizeBytes(
  metainfo: Pick<Metainfo, 'lengthBytes' | 'pieceLengthBytes'>,
  index: number,
): number {
  const offset = index * metainfo.pieceLengthBytes
  return Math.max(0, Math.min(metainfo.pieceLengthBytes, metainfo.lengthBytes - offset))
}

/** Blocks of 16 KiB that a piece of this size has; the last may be shorter. */
export function blockCount(sizeBytes: number): number {
  return Math.ceil(sizeBytes / BLOCK_BYTES)
}

/** A run of blocks of one piece: `first` up to, not including, `end`. */
export interface BlockRun {
  readonly first: number
  readonly end: number
}

/**
 * The blocks of a piece that lie in pads (BEP 47): zeros that need not be sent. A piece that is nothing
 * but pads is to be fetched like any other, and has none.
 */
export function padBlocks(
  metainfo: Pick<Metainfo, 'files' | 'lengthBytes' | 'pieceLengthBytes'>,
  pieceIndex: number,
): BlockRun[] {
  const { files, pieceLengthBytes } = metainfo
  const startBytes = pieceIndex * pieceLengthBytes
  const sizeBytes = pieceSizeBytes(metainfo, pieceIndex)
  const runs: BlockRun[] = []
  for (const range of fileRanges(files, startBytes, sizeBytes)) {
    const file = files[range.fileIndex]
    if (file === undefined || !file.isPad) continue
    const fromBytes = file.offsetBytes + range.offsetBytes - startBytes
    const toBytes = fromBytes + range.lengthBytes
    const first = Math.ceil(fromBytes / BLOCK_BYTES)
    const end = toBytes === sizeBytes ? blockCount(sizeBytes) : Math.floor(toBytes / BLOCK_BYTES)
    if (end > first) runs.push({ first, end })
  }
  const padded = runs.reduce((sum, { first, end }) => sum + end - first, 0)
  return padded < blockCount(sizeBytes) ? runs : []
}

/** A part of one file. `fileIndex` counts in Metainfo.files. */
export interface FileRange {
  readonly fileIndex: number
  readonly offsetBytes: number
  readonly lengthBytes: number
}

/** The files, pads included, that hold `lengthBytes` bytes of the torrent from `offsetBytes` on. */
export function fileRanges(
  files: Metainfo['files'],
  offsetBytes: number,
  lengthBytes: number,
): FileRange[] {
  const ranges: FileRange[] = []
  const end = offsetBytes + lengthBytes
  for (let index = firstFileAt(files, offsetBytes); index < files.length; index++) {
    const file = files[index]
    if (file === undefined || file.offsetBytes >= end) break
    const from = Math.max(offsetBytes, file.offsetBytes)
    const to = Math.min(end, file.offsetBytes + file.lengthBytes)
    if (to > from) {
      ranges.push({
        fileIndex: index,
        offsetBytes: from - file.offsetBytes,
        lengthBytes: to - from,
      })
    }
  }
  return ranges
}

/** The first file that ends after `offsetBytes`. */
function firstFileAt(files: Metainfo['files'], offsetBytes: number): number {
  let low = 0
  let high = files.length
  while (low < high) {
    const middle = (low + high) >>> 1
    const file = files[middle]
    if (file !== undefined && file.offsetBytes + file.lengthBytes <= offsetBytes) low = middle + 1
    else high = middle
  }
  return low
}
