// Reads fields one after the other, little endian: requests of FUSE (the byte order of every machine that
// Node 24 supports) and messages on the wire. Pure. What it gives as bytes are views into what it was given.
import { SiError } from '../core/core.ts'

/** Throws ERR_SI_PROTOCOL where the bytes are fewer than what is read. */
export class FieldReader {
  readonly #bytes: Buffer
  readonly #what: string
  #position = 0

  /** `what` is being read, in words for the error. */
  constructor(bytes: Buffer, what: string) {
    this.#bytes = bytes
    this.#what = what
  }

  get remainingBytes(): number {
    return this.#bytes.length - this.#position
  }

  u8(): number {
    return this.#bytes.readUInt8(this.#advance(1))
  }

  u16(): number {
    return this.#bytes.readUInt16LE(this.#advance(2))
  }

  u32(): number {
    return this.#bytes.readUInt32LE(this.#advance(4))
  }

  u64(): bigint {
    return this.#bytes.readBigUInt64LE(this.#advance(8))
  }

  i64(): bigint {
    return this.#bytes.readBigInt64LE(this.#advance(8))
  }

  /** A number below 2^53; a larger one is refused. */
  number(): number {
    const at = this.#advance(8)
    const high = this.#bytes.readUInt32LE(at + 4)
    if (high > 0x1f_ffff) throw malformed(this.#what, 'a number is beyond 2^53')
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
    if (end < 0) throw malformed(this.#what, 'a name has no end')
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
      throw malformed(this.#what, `${lengthBytes} bytes are missing at byte ${at}`)
    }
    this.#position = at + lengthBytes
    return at
  }
}

/** ERR_SI_PROTOCOL for what no honest peer sends. */
export function malformed(what: string, fault: string): SiError {
  return new SiError('ERR_SI_PROTOCOL', `Malformed ${what}: ${fault}`)
}
