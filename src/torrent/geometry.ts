// Where pieces, blocks and files lie. All pieces have the same length but the last; a block is the
// unit that peers ask each other for. Spec: BEP 3.
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
