// One zstd frame for one chunk. Invariant: a frame states its content size, and is the same bytes
// whichever function here made it. Spec: FORMAT.md §2, RFC 8878.
import { promisify } from 'node:util'
import {
  constants,
  createZstdCompress,
  zstdCompress,
  zstdCompressSync,
  type ZstdCompress,
  type ZstdOptions,
} from 'node:zlib'
import { frameBoundBytes } from './pack-layout.ts'
import { runZstd } from './zstd-inside.ts'

const compress = promisify<NodeJS.ArrayBufferView, ZstdOptions, Buffer>(zstdCompress)

function frameOptions(zstdLevel: number, plainBytes: number): ZstdOptions {
  return {
    chunkSize: frameBoundBytes(plainBytes),
    pledgedSrcSize: plainBytes,
    params: frameParameters(zstdLevel),
  }
}

function frameParameters(zstdLevel: number): Record<number, number> {
  return {
    [constants.ZSTD_c_compressionLevel]: zstdLevel,
    [constants.ZSTD_c_contentSizeFlag]: 1,
  }
}

/** Compresses on a thread of Node's pool. `plain` must not change until this resolves. */
export function encodeFrame(plain: Uint8Array, zstdLevel: number): Promise<Buffer> {
  return compress(plain, frameOptions(zstdLevel, plain.length))
}

/** Compresses many frames in a row, each in one call, straight into the caller's memory. */
export class FrameEncoder {
  readonly #zstdLevel: number
  readonly #zstd: ZstdCompress
  readonly #isDirect: boolean

  constructor(zstdLevel: number) {
    this.#zstdLevel = zstdLevel
    this.#zstd = createZstdCompress({ params: frameParameters(zstdLevel) })
    this.#zstd.on('error', () => {}) // thrown by the call that met it
    this.#isDirect = passesTrial(this.#zstd, zstdLevel)
  }

  /**
   * Returns the frame's length. `into` holds more than frameBoundBytes(plain.length); RangeError
   * when the frame fills it.
   */
  encode(plain: Uint8Array, into: Uint8Array): number {
    if (this.#isDirect)
      return runZstd(this.#zstd, constants.ZSTD_e_end, { input: plain, output: into })
    const frame = zstdCompressSync(plain, frameOptions(this.#zstdLevel, plain.length))
    into.set(frame)
    return frame.length
  }

  close(): void {
    this.#zstd.destroy()
  }
}

/** True when the kept context makes the same two frames as the public function. */
function passesTrial(zstd: ZstdCompress, zstdLevel: number): boolean {
  const output = Buffer.alloc(frameBoundBytes(512))
  try {
    return [Buffer.alloc(512, 'first'), Buffer.alloc(512, 'second')].every((input) => {
      const frame = output.subarray(0, runZstd(zstd, constants.ZSTD_e_end, { input, output }))
      return frame.equals(zstdCompressSync(input, frameOptions(zstdLevel, input.length)))
    })
  } catch {
    return false
  }
}
