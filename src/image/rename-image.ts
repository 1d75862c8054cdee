// An image under another name: the header says the new one, the torrent is made anew around it, the pack
// stays as it is. Invariant: entries, chunks and pieces are those of the original, line for line. The
// signature was over the old header, so the renamed image has none unless it is signed anew. Spec: FORMAT.md §4.1, §6.
import { open, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createZstdCompress, createZstdDecompress } from 'node:zlib'
import { encodeMetainfo, parseMetainfo } from '../torrent/torrent.ts'
import { writeFully } from './file-io.ts'
import { createImageTorrent, imageFilesOf } from './image-torrent.ts'
import { readFirstLine, parseHeaderLine } from './manifest-header-reader.ts'
import { IMAGE_FILES } from './pack-layout.ts'

const SHA1_BYTES = 20
const NEWLINE = 0x0a

export interface ImageNaming {
  readonly name: string
  readonly version: string
}

export interface RenameOptions {
  /** Exists and has neither manifest, signature nor torrent. */
  readonly directory: string
  readonly naming: ImageNaming
  /** Signs the new manifest; left out: the renamed image is not signed. */
  readonly sign?: ((manifestPath: string) => Promise<Uint8Array>) | undefined
  readonly signal: AbortSignal
}

/** What is renamed: held in memory, so that what was checked is what is used. */
export interface ImageDescription {
  /** As in the file. */
  readonly manifest: Uint8Array
  readonly torrent: Uint8Array
}

/**
 * Writes manifest, signature and torrent of an image under another name, flushed. Throws
 * ERR_SI_MANIFEST_FORMAT, ERR_SI_TORRENT_FORMAT, ERR_SI_IMAGE_FORMAT, and what `sign` throws.
 */
export async function renameImage(
  original: ImageDescription,
  { directory, naming, sign, signal }: RenameOptions,
): Promise<void> {
  const metainfo = parseMetainfo(original.torrent)
  const { pack } = imageFilesOf(metainfo)
  const manifestPath = join(directory, IMAGE_FILES.manifest)
  const manifestBytes = await rewriteManifest(original.manifest, manifestPath, { naming, signal })
  const signature = await sign?.(manifestPath)
  const write = (file: string, bytes: Uint8Array) =>
    writeFile(join(directory, file), bytes, { flag: 'wx', flush: true })
  if (signature !== undefined) await write(IMAGE_FILES.signature, signature)
  const { infoBytes } = parseMetainfo(
    await createImageTorrent({
      torrentName: `${naming.name}-${naming.version}`,
      pieceLengthBytes: metainfo.pieceLengthBytes,
      ...{ manifestPath, manifestBytes, signature, packBytes: pack.lengthBytes },
      packSha1: metainfo.pieceHashes.subarray(SHA1_BYTES * pack.firstPiece),
    }),
  )
  const { trackers, webSeeds } = metainfo
  const torrent = encodeMetainfo({ infoBytes, trackers, webSeeds, createdBy: 'SwarmImager' })
  await write(IMAGE_FILES.torrent, torrent)
}

/** Returns the length of the new manifest. */
async function rewriteManifest(
  original: Uint8Array,
  to: string,
  { naming, signal }: { readonly naming: ImageNaming; readonly signal: AbortSignal },
): Promise<number> {
  const { name, version } = naming
  const header = parseHeaderLine(await readFirstLine(Readable.from([original])))
  const headerLine = Buffer.from(`${JSON.stringify({ ...header, name, version })}\n`)
  await using handle = await open(to, 'wx')
  let position = 0
  await pipeline(
    Readable.from([original]),
    createZstdDecompress(),
    (plain: AsyncIterable<Buffer>) => withFirstLine(plain, headerLine),
    createZstdCompress(),
    async (packed: AsyncIterable<Buffer>) => {
      for await (const bytes of packed) {
        await writeFully(handle, bytes, position)
        position += bytes.length
      }
    },
    { signal },
  )
  await handle.sync()
  return position
}

async function* withFirstLine(
  plain: AsyncIterable<Buffer>,
  line: Buffer,
): AsyncGenerator<Uint8Array> {
  let isInFirstLine = true
  yield line
  for await (const bytes of plain) {
    if (!isInFirstLine) {
      yield bytes
      continue
    }
    const newline = bytes.indexOf(NEWLINE)
    if (newline === -1) continue
    isInFirstLine = false
    yield bytes.subarray(newline + 1)
  }
}
