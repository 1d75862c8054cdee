// Reads the fixed structures of a FUSE request one field after the other. Everything is in the byte order
// of the machine, which for every machine that Node 24 supports is little endian. Names are bytes.
// Specification: linux/fuse.h.
import { SiError } from '../../core/core.ts'

/** Reads what the kernel sent; throws ERR_SI_PROTOCOL where that is shorter than its structure. */
export class BodyReader {
  readonly #bytes: Buffer
  #position: number

  constructor(bytes: Buffer, position = 0) {
    this.#bytes = bytes
    this.#position = position
  }

  get remainingBytes(): number {
    return this.#bytes.length - this.#position
  }

  u16(): number {
    return this.#bytes.readUInt16LE(this.#advance(2))
  }

  u32(): number {
    return this.#bytes.readUInt32LE(this.#advance(4))
  }

  i32(): number {
    return this.#bytes.readInt32LE(this.#advance(4))
  }

  u64(): bigint {
    return this.#bytes.readBigUInt64LE(this.#advance(8))
  }

  i64(): bigint {
    return this.#bytes.readBigInt64LE(this.#advance(8))
  }

  /** A number that we gave out: always below 2^53, or the request is refused. */
  number(): number {
    const at = this.#advance(8)
    const high = this.#bytes.readUInt32LE(at + 4)
    if (high > 0x1f_ffff) throw malformed('a number is beyond 2^53')
    return high * 2 ** 32 + this.#bytes.readUInt32LE(at)
  }

  /** A file offset or a length that a program chose; beyond 2^53 rounded, and more than any file has. */
  offset(): number {
    return Number(this.i64())
  }

  skip(lengthBytes: number): void {
    this.#advance(lengthBytes)
  }

  /** Bytes up to a NUL, which is skipped. A view: valid as long as the request's buffer is. */
  name(): Buffer {
    const end = this.#bytes.indexOf(0, this.#position)
    if (end < 0) throw malformed('a name has no end')
    const name = this.#bytes.subarray(this.#position, end)
    this.#position = end + 1
    return name
  }

  /** The next bytes as they are. A view, as `name`. */
  bytes(lengthBytes: number): Buffer {
    const at = this.#advance(lengthBytes)
    return this.#bytes.subarray(at, at + lengthBytes)
  }

  #advance(lengthBytes: number): number {
    const at = this.#position
    if (at + lengthBytes > this.#bytes.length) {
      throw malformed(`${lengthBytes} bytes are missing at byte ${at}`)
    }
    this.#position = at + lengthBytes
    return at
  }
}

function malformed(what: string): SiError {
  return new SiError('ERR_SI_PROTOCOL', `Malformed FUSE request: ${what}`)
}
