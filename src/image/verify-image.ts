// Is every byte of an image what its manifest and its torrent say? Invariant: reads all of it, changes
// nothing, and names what a flipped bit has spoilt: piece, chunk, and the files in it. Spec: FORMAT.md §5, §6.
import { createReadStream } from 'node:fs'
import { open, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { digestOf, errnoOf, isSiError, messageOf } from '../core/core.ts'
import { parseMetainfo, type Metainfo } from '../torrent/torrent.ts'
import type { ChunkTable } from './chunk-table.ts'
import { readFully } from './file-io.ts'
import { imageFilesOf } from './image-torrent.ts'
import type { ManifestEntry } from './manifest-entry.ts'
import { readManifest, type Manifest } from './manifest-reader.ts'
import { IMAGE_FILES } from './pack-layout.ts'
import { verifyPieces, type PieceFault, type VerifyPiecesOptions } from './verify-pieces.ts'

export interface VerifyReport {
  /** Faults outside of the pack's pieces, in sentences: manifest, torrent, sizes. */
  readonly faults: readonly string[]
  readonly pieceFaults: readonly PieceFault[]
  /** Files that have bytes in damaged chunks. */
  readonly damagedFiles: readonly Buffer[]
  /** Of the pack. */
  readonly checkedBytes: number
}

const SHA1_BYTES = 20

/**
 * Verifies the image in a folder. A damaged image is a result, not an error. Throws ERR_SI_ABORTED and what the
 * file system throws.
 */
export async function verifyImage(
  directory: string,
  options: VerifyPiecesOptions,
): Promise<VerifyReport> {
  try {
    return await verify(directory, options)
  } catch (error) {
    if (!isFault(error)) throw error
    return { ...{ pieceFaults: [], damagedFiles: [], checkedBytes: 0 }, faults: [messageOf(error)] }
  }
}

function isFault(error: unknown): boolean {
  const codes = ['MANIFEST_FORMAT', 'UNSAFE_PATH', 'TORRENT_FORMAT', 'IMAGE_FORMAT'] as const
  return codes.some((code) => isSiError(error, `ERR_SI_${code}`))
}

async function verify(directory: string, options: VerifyPiecesOptions): Promise<VerifyReport> {
  const metainfo = parseMetainfo(await readFile(join(directory, IMAGE_FILES.torrent)))
  const { pack } = imageFilesOf(metainfo)
  const faults = await checkDescription(directory, metainfo)
  const manifestPath = join(directory, IMAGE_FILES.manifest)
  const packPath = join(directory, IMAGE_FILES.pack)
  const { pieceLengthBytes } = metainfo
  const torrent = { pieceLengthBytes, packBytes: pack.lengthBytes }
  const manifest = await readManifest(createReadStream(manifestPath), () => {}, torrent)
  const { size } = await stat(packPath)
  const { packBytes } = manifest.header
  if (size !== packBytes) faults.push(`${packPath} has ${size} bytes instead of ${packBytes}`)
  const { chunks, pieceSha256 } = manifest
  const packSha1 = metainfo.pieceHashes.slice(SHA1_BYTES * pack.firstPiece)
  const pieceFaults = await verifyPieces(
    { packPath, packBytes, pieceLengthBytes, chunks, pieceSha256, packSha1 },
    options,
  )
  const damagedFiles = await filesIn(pieceFaults, manifest, manifestPath)
  return { faults, pieceFaults, damagedFiles, checkedBytes: packBytes }
}

/** The pieces before the pack: manifest and signature, padded with zeros. */
async function checkDescription(directory: string, metainfo: Metainfo): Promise<string[]> {
  const { pieceLengthBytes, pieceHashes, files } = metainfo
  const end = imageFilesOf(metainfo).pack.firstPiece * pieceLengthBytes
  const bytes = Buffer.alloc(end)
  const faults: string[] = []
  for (const { path, offsetBytes, lengthBytes, isPad } of files) {
    if (isPad || offsetBytes >= end) continue
    const file = join(directory, ...path)
    try {
      await using handle = await open(file, 'r')
      const { size } = await handle.stat()
      if (size !== lengthBytes) faults.push(`${file} has ${size} bytes instead of ${lengthBytes}`)
      const room = bytes.subarray(offsetBytes, offsetBytes + Math.min(size, lengthBytes))
      await readFully(handle, room, 0)
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error
      faults.push(`${file} is missing`)
    }
  }
  for (let piece = 0; piece * pieceLengthBytes < end; piece++) {
    const part = bytes.subarray(piece * pieceLengthBytes, (piece + 1) * pieceLengthBytes)
    const expected = pieceHashes.subarray(SHA1_BYTES * piece, SHA1_BYTES * (piece + 1))
    if (digestOf('sha1', part).equals(expected)) continue
    faults.push(`Manifest or signature is not that of the torrent: SHA-1 of piece ${piece}`)
  }
  return faults
}

/** Reads the entries once more, which only a damaged image needs. */
async function filesIn(
  faults: readonly PieceFault[],
  { chunks }: Manifest,
  manifestPath: string,
): Promise<Buffer[]> {
  const damaged = faults.flatMap((fault) => fault.chunks)
  const files: Buffer[] = []
  if (damaged.length === 0) return files
  await readManifest(createReadStream(manifestPath), (entry) => {
    if (entry.type === 'file' && overlaps(entry, damaged, chunks)) files.push(entry.path)
  })
  return files
}

/** `damaged` ascends. */
function overlaps(
  { dataOffset, dataBytes }: ManifestEntry,
  damaged: readonly number[],
  chunks: ChunkTable,
): boolean {
  const startOf = (chunk: number) => chunks.tarOffset[chunk] ?? 0
  const endOf = (chunk: number) => startOf(chunk) + (chunks.lengthBytes[chunk] ?? 0)
  let [low, high] = [0, damaged.length]
  while (low < high) {
    const middle = (low + high) >>> 1
    if (endOf(damaged[middle] ?? 0) <= dataOffset) low = middle + 1
    else high = middle
  }
  const first = damaged[low]
  return first !== undefined && startOf(first) < dataOffset + dataBytes
}
