// An image under another name: the header says the new one, the torrent is made anew around it, the pack
// stays as it is. Invariant: entries, chunks and pieces are those of the original, line for line. The
// signature was over the old header, so the renamed image has none unless it is signed anew. Spec: FORMAT.md §4.1, §6.
import { createReadStream } from 'node:fs'
import { open, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
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

/**
 * Writes manifest and torrent of the image in `from` under another name into `to`, where neither may exist;
 * both are flushed. Throws ERR_SI_MANIFEST_FORMAT, ERR_SI_TORRENT_FORMAT, ERR_SI_IMAGE_FORMAT.
 */
export async function renameImage(
  from: string,
  to: string,
  naming: ImageNaming,
  signal: AbortSignal,
): Promise<void> {
  const metainfo = parseMetainfo(await readFile(join(from, IMAGE_FILES.torrent)))
  const { pack } = imageFilesOf(metainfo)
  const manifestPath = join(to, IMAGE_FILES.manifest)
  const manifestBytes = await rewriteManifest(join(from, IMAGE_FILES.manifest), manifestPath, {
    naming,
    signal,
  })
  const { infoBytes } = parseMetainfo(
    await createImageTorrent({
      torrentName: `${naming.name}-${naming.version}`,
      pieceLengthBytes: metainfo.pieceLengthBytes,
      ...{ manifestPath, manifestBytes, packBytes: pack.lengthBytes },
      packSha1: metainfo.pieceHashes.subarray(SHA1_BYTES * pack.firstPiece),
    }),
  )
  const { trackers, webSeeds } = metainfo
  const torrent = encodeMetainfo({ infoBytes, trackers, webSeeds, createdBy: 'SwarmImager' })
  await writeFile(join(to, IMAGE_FILES.torrent), torrent, { flag: 'wx', flush: true })
}

/** Returns the length of the new manifest. */
async function rewriteManifest(
  from: string,
  to: string,
  { naming, signal }: { readonly naming: ImageNaming; readonly signal: AbortSignal },
): Promise<number> {
  const { name, version } = naming
  const header = parseHeaderLine(await readFirstLine(createReadStream(from)))
  const headerLine = Buffer.from(`${JSON.stringify({ ...header, name, version })}\n`)
  await using handle = await open(to, 'wx')
  let position = 0
  await pipeline(
    createReadStream(from),
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
