// The file that the engine bench transfers: noise, which no file system and no protocol can shorten, the
// same every time; and its torrent.
import { createCipheriv, createHash } from 'node:crypto'
import { mkdir, open, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { encodeInfo, encodeMetainfo } from '../../src/torrent/torrent.ts'

export interface NoiseTorrent {
  readonly sizeBytes: number
  readonly pieceLengthBytes: number
  readonly tracker: string
}

/** The only file of the torrent, below the directory that holds the torrent's folder. */
export const NOISE_PATH = join('noise', 'noise.bin')

/** Writes NOISE_PATH below `directory` and the torrent file; nothing else is in either. */
export async function writeNoiseTorrent(
  torrent: NoiseTorrent,
  paths: { readonly directory: string; readonly torrentPath: string },
): Promise<void> {
  const { sizeBytes, pieceLengthBytes, tracker } = torrent
  const path = join(paths.directory, NOISE_PATH)
  await mkdir(dirname(path), { recursive: true })
  const cipher = createCipheriv('aes-128-ctr', Buffer.alloc(16), Buffer.alloc(16))
  const zeros = Buffer.alloc(pieceLengthBytes)
  const hashes: Buffer[] = []
  await using file = await open(path, 'w')
  for (let at = 0; at < sizeBytes; at += pieceLengthBytes) {
    const piece = cipher.update(zeros.subarray(0, Math.min(pieceLengthBytes, sizeBytes - at)))
    hashes.push(createHash('sha1').update(piece).digest())
    await file.writeFile(piece)
  }
  const infoBytes = encodeInfo({
    ...{ name: 'noise', pieceLengthBytes, pieceHashes: Buffer.concat(hashes) },
    files: [{ path: ['noise.bin'], lengthBytes: sizeBytes }],
  })
  await writeFile(paths.torrentPath, encodeMetainfo({ infoBytes, trackers: [[tracker]] }))
}
