// The torrent over an image's files: manifest, its signature, pad, pack. Invariant: the pack
// starts on a piece boundary, so that a piece of the pack is a piece of the torrent. Spec: FORMAT.md §6,
// BEP 3, BEP 47.
import { hash } from 'node:crypto'
import { open } from 'node:fs/promises'
import { SiError } from '../core/core.ts'
import { encodeInfo, encodeMetainfo, type Metainfo, type TorrentFile } from '../torrent/torrent.ts'
import { readFully } from './file-io.ts'
import { IMAGE_FILES, isPieceLength, SIGNATURE_MAX_BYTES } from './pack-layout.ts'

const SHA1_BYTES = 20

/** Where one file of the image lies in its torrent. */
export interface FilePieces {
  readonly firstPiece: number
  readonly pieceCount: number
  readonly lengthBytes: number
}

export interface ImageFilePieces {
  readonly manifest: FilePieces
  /** It shares the manifest's last pieces: `firstPiece` may be the manifest's last. */
  readonly signature: FilePieces | null
  readonly pack: FilePieces
}

export interface ImageTorrentOptions {
  readonly torrentName: string
  readonly pieceLengthBytes: number
  readonly manifestPath: string
  readonly manifestBytes: number
  readonly packBytes: number
  /** Of the manifest; undefined: it is not signed. */
  readonly signature?: Uint8Array | undefined
  /** SHA-1 of each piece of the pack, 20 bytes each. */
  readonly packSha1: Uint8Array
}

/** Reads the manifest for its hashes; returns the bytes of the torrent file, without a tracker. */
export async function createImageTorrent(options: ImageTorrentOptions): Promise<Buffer> {
  const { pieceLengthBytes, manifestBytes, packBytes } = options
  const signatureBytes = options.signature?.length ?? 0
  const headBytes = manifestBytes + signatureBytes
  const padBytes = Math.ceil(headBytes / pieceLengthBytes) * pieceLengthBytes - headBytes
  const files = [
    { path: [IMAGE_FILES.manifest], lengthBytes: manifestBytes },
    { path: [IMAGE_FILES.signature], lengthBytes: signatureBytes },
    { path: ['.pad', String(padBytes)], lengthBytes: padBytes, isPad: true },
    { path: [IMAGE_FILES.pack], lengthBytes: packBytes },
  ].filter((file) => file.lengthBytes > 0)
  const pieceHashes = Buffer.concat([await hashHeadPieces(options), options.packSha1])
  const name = options.torrentName
  const infoBytes = encodeInfo({ name, pieceLengthBytes, files, pieceHashes })
  return encodeMetainfo({ infoBytes, createdBy: 'SwarmImager' })
}

/** The pieces before the pack: manifest, signature, zeros. */
async function hashHeadPieces(options: ImageTorrentOptions): Promise<Buffer> {
  const { pieceLengthBytes, manifestBytes, signature = new Uint8Array() } = options
  await using handle = await open(options.manifestPath, 'r')
  const piece = Buffer.alloc(pieceLengthBytes)
  const hashes: Buffer[] = []
  const headBytes = manifestBytes + signature.length
  for (let offset = 0; offset < headBytes; offset += pieceLengthBytes) {
    const length = Math.max(0, Math.min(pieceLengthBytes, manifestBytes - offset))
    await readFully(handle, piece.subarray(0, length), offset)
    piece.fill(0, length)
    const from = Math.max(0, offset - manifestBytes)
    piece.set(signature.subarray(from, from + pieceLengthBytes - length), length)
    hashes.push(hash('sha1', piece, 'buffer'))
  }
  return Buffer.concat(hashes, hashes.length * SHA1_BYTES)
}

/** Finds the image's files in a torrent. Throws ERR_SI_IMAGE_FORMAT when it holds no image. */
export function imageFilesOf(metainfo: Metainfo): ImageFilePieces {
  const files = metainfo.files.filter((file) => !file.isPad)
  const names = files.map((file) => file.path.join('/'))
  const expected: string[] = [IMAGE_FILES.manifest, IMAGE_FILES.signature, IMAGE_FILES.pack]
  const withoutSignature = expected.toSpliced(1, 1)
  const isImage = [expected, withoutSignature].some((list) => list.join() === names.join())
  const [manifest, pack] = [files[0], files.at(-1)]
  if (!isImage || manifest === undefined || pack === undefined) {
    throw notAnImage(metainfo, `it holds ${names.slice(0, 5).join(', ')}`)
  }
  if (manifest.offsetBytes !== 0 || pack.offsetBytes % metainfo.pieceLengthBytes !== 0) {
    throw notAnImage(metainfo, 'its files do not start on piece boundaries')
  }
  if (!isPieceLength(metainfo.pieceLengthBytes)) {
    throw notAnImage(metainfo, `it has pieces of ${metainfo.pieceLengthBytes} bytes`)
  }
  if (manifest.lengthBytes === 0 || pack.lengthBytes === 0) {
    throw notAnImage(metainfo, 'a file is empty')
  }
  const signature = files.length === 3 ? files[1] : undefined
  if (signature !== undefined) {
    const { lengthBytes, offsetBytes } = signature
    if (lengthBytes === 0 || lengthBytes > SIGNATURE_MAX_BYTES) {
      throw notAnImage(metainfo, `it has a signature of ${lengthBytes} bytes`)
    }
    if (offsetBytes !== manifest.lengthBytes) {
      throw notAnImage(metainfo, 'its signature does not follow the manifest')
    }
  }
  return {
    manifest: piecesOf(manifest, metainfo),
    signature: signature === undefined ? null : piecesOf(signature, metainfo),
    pack: piecesOf(pack, metainfo),
  }
}

function piecesOf(file: TorrentFile, metainfo: Metainfo): FilePieces {
  const firstPiece = Math.floor(file.offsetBytes / metainfo.pieceLengthBytes)
  const end = Math.ceil((file.offsetBytes + file.lengthBytes) / metainfo.pieceLengthBytes)
  return { firstPiece, pieceCount: end - firstPiece, lengthBytes: file.lengthBytes }
}

function notAnImage(metainfo: Metainfo, reason: string): SiError {
  const message = `Torrent "${metainfo.name}" is no SwarmImager image: ${reason}`
  return new SiError('ERR_SI_IMAGE_FORMAT', message)
}
