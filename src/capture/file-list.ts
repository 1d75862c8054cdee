// The golden client's tree as columns of numbers: about 50 bytes an object, so that millions fit into
// memory. Invariant: an object's parent stands before it. Records: list-script.ts.
import { SiError } from '../core/core.ts'
import { END_MARK, START_MARK, TIME_MARK } from './list-script.ts'

export interface FileList {
  readonly count: number
  /** Index of the parent; the root, index 0, is its own. */
  readonly parents: Uint32Array
  /** find's letters as character codes: f d l p s b c. */
  readonly types: Uint8Array
  /** Logical size. */
  readonly sizes: Float64Array
  /** Bytes of a file's data: less than its size where there are holes. */
  readonly dataBytes: Float64Array
  /** 64 bits wide, as some file systems need. */
  readonly inodes: BigUint64Array
  /** Nanoseconds since 1970 when data or attributes changed last (stat(2), st_ctim). */
  readonly ctimes: BigInt64Array
  /** The golden client's clock when the listing began. */
  readonly listedAtNs: bigint
  readonly names: Buffer
  /** count + 1 positions in `names`. */
  readonly nameStarts: Float64Array
  /** Of objects with several names, directories aside: index → index of the first of the names. */
  readonly links: ReadonlyMap<number, number>
}

export const TYPE_DIRECTORY = 0x64
export const TYPE_FILE = 0x66
export const TYPE_SOCKET = 0x73
const BLOCK_BYTES = 512
const FIRST_CAPACITY = 4096

export class FileListBuilder {
  readonly #mountPoints: readonly string[]
  #capacity = FIRST_CAPACITY
  #parents = new Uint32Array(FIRST_CAPACITY)
  #types = new Uint8Array(FIRST_CAPACITY)
  #sizes = new Float64Array(FIRST_CAPACITY)
  #dataBytes = new Float64Array(FIRST_CAPACITY)
  #inodes = new BigUint64Array(FIRST_CAPACITY)
  #ctimes = new BigInt64Array(FIRST_CAPACITY)
  #listedAtNs = 0n
  #nameStarts = new Float64Array(FIRST_CAPACITY + 1)
  #names: Buffer = Buffer.alloc(16 * FIRST_CAPACITY)
  #namesEnd = 0
  #count = 0
  readonly #first = new Map<string, number>()
  readonly #links = new Map<number, number>()
  /** Index of the directory at each depth below the present start; -1 where it is not known. */
  #stack: number[] = []
  #starts = 0
  #isComplete = false
  #rest: Buffer = Buffer.alloc(0)

  /** As given to listScript. */
  constructor(mountPoints: readonly string[]) {
    this.#mountPoints = mountPoints
  }

  /** Takes find's output in any portions. Throws ERR_SI_CAPTURE on what find does not print. */
  push(bytes: Buffer): void {
    const input = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes])
    let start = 0
    for (let end = input.indexOf(0); end !== -1; end = input.indexOf(0, start)) {
      this.#onRecord(input.subarray(start, end))
      start = end + 1
    }
    this.#rest = Buffer.from(input.subarray(start))
  }

  /** Undefined unless the list came to its end and has a root. */
  finish(): FileList | undefined {
    if (!this.#isComplete || this.#count === 0) return undefined
    const count = this.#count
    this.#nameStarts[count] = this.#namesEnd
    return {
      count,
      parents: this.#parents.subarray(0, count),
      types: this.#types.subarray(0, count),
      sizes: this.#sizes.subarray(0, count),
      dataBytes: this.#dataBytes.subarray(0, count),
      inodes: this.#inodes.subarray(0, count),
      ctimes: this.#ctimes.subarray(0, count),
      listedAtNs: this.#listedAtNs,
      names: this.#names.subarray(0, this.#namesEnd),
      nameStarts: this.#nameStarts.subarray(0, count + 1),
      links: this.#links,
    }
  }

  #onRecord(record: Buffer): void {
    if (record.length === 1) {
      const mark = record.toString('latin1')
      if (mark === START_MARK) this.#onStart()
      else if (mark === END_MARK) this.#isComplete = true
      return
    }
    if (record[0] === TIME_MARK.charCodeAt(0)) {
      this.#listedAtNs = parseSeconds(record.toString('latin1', 1)) ?? 0n
      return
    }
    let position = 0
    const field = () => {
      const space = record.indexOf(0x20, position)
      const text = space === -1 ? '' : record.toString('latin1', position, space)
      position = space + 1
      return text
    }
    const [depth, type] = [Number(field()), field()]
    const [size, blocks] = [Number(field()), Number(field())]
    const [device, inode, linkCount] = [field(), field(), Number(field())]
    const ctimeNs = parseSeconds(field())
    if (
      ctimeNs === undefined ||
      !/^\d{1,20}$/.test(inode) ||
      !Number.isSafeInteger(depth) ||
      !(size >= 0) ||
      !(blocks >= 0) ||
      !(linkCount >= 0)
    ) {
      throw new SiError('ERR_SI_CAPTURE', 'Cannot understand what find(1) lists', {
        hint: 'Install GNU findutils on the golden client',
      })
    }
    if (depth === 0) this.#onRoot()
    const index = depth === 0 ? this.#stack[0] : this.#add(depth, record.subarray(position))
    if (index === undefined || index === -1) return
    this.#types[index] = type.charCodeAt(0)
    this.#inodes[index] = BigInt(inode)
    this.#ctimes[index] = ctimeNs
    this.#sizes[index] = size
    this.#dataBytes[index] = type === 'f' ? Math.min(size, blocks * BLOCK_BYTES) : 0
    if (linkCount < 2 || type === 'd') return
    const identity = `${device} ${inode}`
    const first = this.#first.get(identity) ?? index
    if (first === index) this.#first.set(identity, index)
    this.#links.set(index, first)
  }

  #onStart(): void {
    this.#stack = [this.#starts === 0 ? 0 : this.#lookUp(this.#mountPoints[this.#starts] ?? '/')]
    this.#starts++
  }

  /** The root of the tree is the only start that was not listed before, as an object of its parent. */
  #onRoot(): void {
    if (this.#starts === 1 && this.#count === 0) this.#append(0, Buffer.alloc(0))
  }

  #add(depth: number, name: Buffer): number {
    const parent = this.#stack[depth - 1] ?? -1
    const index = parent === -1 ? -1 : this.#append(parent, name)
    this.#stack.length = depth
    this.#stack[depth] = index
    return index
  }

  #append(parent: number, name: Buffer): number {
    const index = this.#count++
    if (this.#count > this.#capacity) this.#grow()
    while (this.#namesEnd + name.length > this.#names.length) {
      this.#names = Buffer.concat([this.#names, Buffer.alloc(this.#names.length)])
    }
    this.#names.set(name, this.#namesEnd)
    this.#parents[index] = parent
    this.#nameStarts[index] = this.#namesEnd
    this.#namesEnd += name.length
    return index
  }

  #grow(): void {
    const grow = <T extends Uint8Array | Uint32Array | Float64Array>(old: T, larger: T): T => {
      larger.set(old)
      return larger
    }
    const [inodes, ctimes] = [this.#inodes, this.#ctimes]
    const capacity = (this.#capacity *= 2)
    this.#parents = grow(this.#parents, new Uint32Array(capacity))
    this.#types = grow(this.#types, new Uint8Array(capacity))
    this.#sizes = grow(this.#sizes, new Float64Array(capacity))
    this.#dataBytes = grow(this.#dataBytes, new Float64Array(capacity))
    this.#inodes = new BigUint64Array(capacity)
    this.#inodes.set(inodes)
    this.#ctimes = new BigInt64Array(capacity)
    this.#ctimes.set(ctimes)
    this.#nameStarts = grow(this.#nameStarts, new Float64Array(capacity + 1))
  }

  /** Index of the object at a path such as `/srv`, or -1. */
  #lookUp(path: string): number {
    let index = 0
    for (const name of path.split('/').filter(Boolean)) {
      const wanted = Buffer.from(name)
      const parent = index
      index = -1
      for (let child = 1; child < this.#count && index === -1; child++) {
        if (this.#parents[child] !== parent) continue
        const end = child + 1 < this.#count ? this.#nameStarts[child + 1] : this.#namesEnd
        if (this.#names.subarray(this.#nameStarts[child], end).equals(wanted)) index = child
      }
      if (index === -1) return -1
    }
    return index
  }
}

/** `1700000000.1234567890`, as find prints times, possibly negative → nanoseconds. */
function parseSeconds(text: string): bigint | undefined {
  const match = /^(-?)(\d{1,12})(?:\.(\d{1,9})\d*)?$/.exec(text)
  const [, sign, whole = '', fraction = ''] = match ?? []
  if (match === null) return undefined
  const ns = BigInt(whole) * 1_000_000_000n + BigInt(fraction.padEnd(9, '0'))
  return sign === '-' ? -ns : ns
}
