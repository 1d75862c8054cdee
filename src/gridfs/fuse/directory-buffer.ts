// The answer to readdir and readdirplus: as many names as the caller has room for, each with the offset at
// which the next reading goes on. struct fuse_dirent and fuse_direntplus of linux/fuse.h.
import { ENTRY_BYTES, writeEntry, writeNumber, type Entry } from './attributes.ts'

export interface DirectoryName {
  readonly name: Uint8Array
  readonly inode: bigint
  /** File type bits as in stat(2): S_IFDIR …; 0 when unknown. */
  readonly type: number
  /** Given back by the kernel to go on behind this name; more than 0. */
  readonly nextOffset: number
}

const NAME_OFFSET = 24
const NO_ENTRY = Buffer.alloc(ENTRY_BYTES) // node 0: the kernel looks the name up by itself if it has to

export class DirectoryBuffer {
  readonly #bytes: Buffer
  #length = 0

  constructor(sizeBytes: number) {
    this.#bytes = Buffer.allocUnsafe(sizeBytes)
  }

  /** Adds a name for readdir; false when it does not fit any more. */
  add(name: DirectoryName): boolean {
    const lengthBytes = aligned(NAME_OFFSET + name.name.length)
    if (this.#length + lengthBytes > this.#bytes.length) return false
    this.#writeName(this.#length, lengthBytes, name)
    this.#length += lengthBytes
    return true
  }

  /**
   * Adds a name and what a lookup of it says, for readdirplus; false when it does not fit any more, and
   * then nothing was looked up. "." and ".." and names that cannot be looked up have no entry.
   */
  addWithEntry(name: DirectoryName, entry: Entry | undefined): boolean {
    const lengthBytes = ENTRY_BYTES + aligned(NAME_OFFSET + name.name.length)
    if (this.#length + lengthBytes > this.#bytes.length) return false
    if (entry === undefined) NO_ENTRY.copy(this.#bytes, this.#length)
    else {
      this.#bytes.fill(0, this.#length, this.#length + ENTRY_BYTES)
      writeEntry(this.#bytes, this.#length, entry)
    }
    this.#writeName(this.#length + ENTRY_BYTES, lengthBytes - ENTRY_BYTES, name)
    this.#length += lengthBytes
    return true
  }

  /** What was added. Valid as long as nothing more is. */
  encoded(): Buffer {
    return this.#bytes.subarray(0, this.#length)
  }

  #writeName(at: number, lengthBytes: number, name: DirectoryName): void {
    const bytes = this.#bytes
    bytes.writeBigUInt64LE(name.inode, at)
    writeNumber(bytes, at + 8, name.nextOffset)
    bytes.writeUInt32LE(name.name.length, at + 16)
    bytes.writeUInt32LE((name.type >>> 12) & 0xf, at + 20)
    bytes.set(name.name, at + NAME_OFFSET)
    bytes.fill(0, at + NAME_OFFSET + name.name.length, at + lengthBytes)
  }
}

function aligned(lengthBytes: number): number {
  return Math.ceil(lengthBytes / 8) * 8
}
