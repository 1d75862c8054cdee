// The signature of an image that lies in a folder, before it is offered to others.
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { isSiError, SiError } from '../core/core.ts'
import { IMAGE_FILES, imageFilesOf, SIGNATURE_MAX_BYTES } from '../image/image.ts'
import { checkSigned, hashFile, type Trust, type Verdict } from '../pki/pki.ts'
import type { Metainfo } from '../torrent/torrent.ts'

/** Throws ERR_SI_UNTRUSTED, ERR_SI_INTEGRITY when the signature's file is missing. */
export async function checkFiles(
  metainfo: Metainfo,
  directory: string,
  trust: Trust,
): Promise<Verdict> {
  return checkSigned(trust, {
    what: `image ${metainfo.name}`,
    signature: isSigned(metainfo)
      ? await readSignature(join(directory, IMAGE_FILES.signature))
      : undefined,
    digest: (algorithm) => hashFile(join(directory, IMAGE_FILES.manifest), algorithm),
  })
}

/** Torrents of anything else can be seeded, too; nobody signed them. */
function isSigned(metainfo: Metainfo): boolean {
  try {
    return imageFilesOf(metainfo).signature !== null
  } catch (error) {
    if (isSiError(error, 'ERR_SI_IMAGE_FORMAT')) return false
    throw error
  }
}

async function readSignature(path: string): Promise<Uint8Array> {
  try {
    await using file = await open(path, 'r')
    const buffer = Buffer.alloc(SIGNATURE_MAX_BYTES + 1)
    const { bytesRead } = await file.read(buffer, 0, buffer.length, 0)
    return buffer.subarray(0, bytesRead)
  } catch (error) {
    throw new SiError('ERR_SI_INTEGRITY', `Cannot read the signature ${path}`, { cause: error })
  }
}
