// One zstd frame for one chunk. Invariant: the frame states its content size, and is the same bytes
// whichever way it was made. Spec: FORMAT.md §2, RFC 8878.
import { promisify } from 'node:util'
import { constants, zstdCompress, zstdCompressSync, type ZstdOptions } from 'node:zlib'
import { frameBoundBytes } from './pack-layout.ts'

const compress = promisify<NodeJS.ArrayBufferView, ZstdOptions, Buffer>(zstdCompress)

function optionsFor(plainBytes: number, level: number): ZstdOptions {
  return {
    // All output in one buffer: growing by the default 16 KiB costs a fifth of the speed.
    chunkSize: frameBoundBytes(plainBytes),
    pledgedSrcSize: plainBytes,
    params: {
      [constants.ZSTD_c_compressionLevel]: level,
      [constants.ZSTD_c_contentSizeFlag]: 1,
    },
  }
}

export function encodeFrameSync(plain: Uint8Array, level: number): Buffer {
  return zstdCompressSync(plain, optionsFor(plain.length, level))
}

/** On a thread of Node's pool. `plain` must not change until this resolves. */
export function encodeFrame(plain: Uint8Array, level: number): Promise<Buffer> {
  return compress(plain, optionsFor(plain.length, level))
}
