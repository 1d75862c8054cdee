// The first record of a manifest file alone: lists of images need no more, and it comes within the first
// kilobytes. Spec: FORMAT.md §4.
import { Readable } from 'node:stream'
import { createZstdDecompress } from 'node:zlib'
import { errnoOf, messageOf } from '../core/core.ts'
import { parseManifestHeader, type ManifestHeader } from './manifest-header.ts'
import { LINE_MAX_BYTES } from './manifest-reader.ts'
import { manifestError } from './manifest-record.ts'

const NEWLINE = 0x0a

/**
 * Reads the compressed bytes of a manifest up to the end of its header; `source` is closed. Throws
 * ERR_SI_MANIFEST_FORMAT and what `source` throws.
 */
export async function readManifestHeader(
  source: AsyncIterable<Uint8Array>,
): Promise<ManifestHeader> {
  return parseHeaderLine(await readFirstLine(source))
}

/** Without its newline. */
export async function readFirstLine(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const input = Readable.from(source)
  const unzip = createZstdDecompress()
  input.on('error', (error) => unzip.destroy(error))
  const parts: Buffer[] = []
  let bytes = 0
  try {
    for await (const part of input.pipe(unzip) as AsyncIterable<Buffer>) {
      const newline = part.indexOf(NEWLINE)
      parts.push(newline === -1 ? part : part.subarray(0, newline))
      if (newline !== -1) return Buffer.concat(parts)
      bytes += part.length
      if (bytes > LINE_MAX_BYTES) throw manifestError('a line is too long')
    }
  } catch (error) {
    const code = errnoOf(error) ?? ''
    if (!/^Z(STD)?_/.test(code)) throw error
    throw manifestError(`it is damaged: ${messageOf(error)}`)
  } finally {
    input.destroy()
  }
  throw manifestError('it is empty')
}

/** Throws ERR_SI_MANIFEST_FORMAT. */
export function parseHeaderLine(line: Buffer): ManifestHeader {
  let value: unknown
  try {
    value = JSON.parse(line.toString('utf8'))
  } catch (error) {
    throw manifestError(`a line is no JSON: ${messageOf(error)}`)
  }
  return parseManifestHeader(value)
}
