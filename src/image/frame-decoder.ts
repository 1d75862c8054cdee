// Decompresses frames of known plain length, many in a row. Invariant: a frame gives exactly the length
// it should or an error; memory is one buffer of the longest chunk so far. Spec: FORMAT.md §2.
import { constants, createZstdDecompress, zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import { statedContentBytes } from './zstd-frame-header.ts'
import { runZstd } from './zstd-inside.ts'

export class FrameDecoder {
  readonly #isDirect = passesTrial()
  #zstd = openZstd()
  #plain: Buffer = Buffer.alloc(0)

  /**
   * The plain bytes, valid until the next call. Throws zstd's error or RangeError when the frame is
   * damaged or of another length; the decoder stays usable.
   */
  decode(frame: Uint8Array, lengthBytes: number): Uint8Array {
    // zstd takes memory for what the header claims, before it has seen any content.
    const statedBytes = statedContentBytes(frame)
    if (statedBytes !== lengthBytes) {
      throw new RangeError(
        `its frame states ${statedBytes ?? 'no'} bytes instead of ${lengthBytes}`,
      )
    }
    const plain = this.#isDirect
      ? this.#decodeDirect(frame, lengthBytes)
      : zstdDecompressSync(frame, { chunkSize: lengthBytes + 1, maxOutputLength: lengthBytes })
    if (plain.length === lengthBytes) return plain
    throw new RangeError(`${plain.length} bytes instead of ${lengthBytes}`)
  }

  #decodeDirect(frame: Uint8Array, lengthBytes: number): Uint8Array {
    // One byte more than needed: a frame that fills it too is longer than it should be.
    if (this.#plain.length <= lengthBytes) this.#plain = Buffer.allocUnsafe(lengthBytes + 1)
    const output = this.#plain.subarray(0, lengthBytes + 1)
    let plainBytes = -1
    try {
      plainBytes = runZstd(this.#zstd, constants.ZSTD_e_continue, { input: frame, output })
    } finally {
      if (plainBytes !== lengthBytes) this.#reset()
    }
    return output.subarray(0, plainBytes)
  }

  /** After a fault the context may be in the middle of a frame. */
  #reset(): void {
    this.#zstd.destroy()
    this.#zstd = openZstd()
  }
}

function openZstd() {
  const zstd = createZstdDecompress()
  zstd.on('error', () => {}) // thrown by the call that met it
  return zstd
}

/** True when a kept context decompresses two frames in a row. */
function passesTrial(): boolean {
  const zstd = openZstd()
  const output = Buffer.alloc(513)
  try {
    return ['first', 'second'].every((text) => {
      const plain = Buffer.alloc(512, text)
      const input = zstdCompressSync(plain)
      const length = runZstd(zstd, constants.ZSTD_e_continue, { input, output })
      return output.subarray(0, length).equals(plain)
    })
  } catch {
    return false
  } finally {
    zstd.destroy()
  }
}
