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

/** What Node's compressor is inside: one call of the zstd library on memory of the caller. */
interface ZstdInside {
  readonly _handle: {
    writeSync(
      ...args: [
        flush: number,
        ...input: [bytes: Uint8Array, offset: number, length: number],
        ...output: [bytes: Uint8Array, offset: number, length: number],
      ]
    ): void
  }
  /** Bytes of output, then of input, that the last call left. */
  readonly _writeState: Uint32Array
}

/**
 * Compresses many frames in a row, each in one call, with one context, straight into the caller's
 * memory. Node's public functions make a context and a buffer for each frame, which costs a quarter
 * of the speed at 64 KiB; so this uses their inside, after a trial, and them where the trial fails.
 */
export class FrameEncoder {
  readonly #zstdLevel: number
  readonly #zstd: ZstdCompress
  readonly #inside: ZstdInside | undefined

  constructor(zstdLevel: number) {
    this.#zstdLevel = zstdLevel
    this.#zstd = createZstdCompress({ params: frameParameters(zstdLevel) })
    this.#zstd.on('error', () => {}) // seen as `errored` after the call
    const inside = this.#zstd as unknown as ZstdInside
    this.#inside = passesTrial(inside, zstdLevel) ? inside : undefined
  }

  /** Returns the frame's length. `into` holds at least frameBoundBytes(plain.length). */
  encode(plain: Uint8Array, into: Uint8Array): number {
    if (this.#inside === undefined) {
      const frame = zstdCompressSync(plain, frameOptions(this.#zstdLevel, plain.length))
      into.set(frame)
      return frame.length
    }
    const packedBytes = encodeInside(this.#inside, plain, into)
    if (this.#zstd.errored !== null) throw this.#zstd.errored
    return packedBytes
  }

  close(): void {
    this.#zstd.destroy()
  }
}

function encodeInside(inside: ZstdInside, plain: Uint8Array, into: Uint8Array): number {
  const { _handle, _writeState } = inside
  _handle.writeSync(constants.ZSTD_e_end, plain, 0, plain.length, into, 0, into.length)
  const [restBytes = 0, unreadBytes = 0] = _writeState
  if (unreadBytes !== 0 || restBytes === 0) throw new RangeError('a frame exceeds its bound')
  return into.length - restBytes
}

/** True when the inside makes the same two frames as the public function. */
function passesTrial(inside: ZstdInside, zstdLevel: number): boolean {
  const into = Buffer.alloc(frameBoundBytes(512))
  try {
    return [Buffer.alloc(512, 'first'), Buffer.alloc(512, 'second')].every((plain) => {
      const frame = into.subarray(0, encodeInside(inside, plain, into))
      return frame.equals(zstdCompressSync(plain, frameOptions(zstdLevel, plain.length)))
    })
  } catch {
    return false
  }
}
